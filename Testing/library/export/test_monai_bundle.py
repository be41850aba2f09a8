"""MONAI's own tools on a bundle: what they load, check and predict. Running it whole needs more packages than tests."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.export.formats import export
from MedSegTrainerLib.export.tracing import Logits, example
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.model.package import ModelPackage, save_package
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.planning.nnunet_preparation import nnunet_preparation


@pytest.fixture
def bundle(package: ModelPackage, tmp_path: Path) -> Path:
    save_package(package, tmp_path / "model")
    return export(tmp_path / "model", tmp_path / "bundle", "monai-bundle").path


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    """MONAI warns of each configuration that it reads, PyTorch of TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def predict(bundle: Path, image: torch.Tensor, axes: str = "SPL") -> torch.Tensor:
    """Label values (1, z, y, x) of an image (1, z, y, x) by the bundle's steps, but for those that need nibabel:
    reading, turning the axes to Superior, Posterior and Left, and writing."""
    from monai.bundle import ConfigParser

    document: dict[str, Any] = json.loads((bundle / "configs" / "inference.json").read_text())
    steps = document["preprocessing"]["transforms"]
    assert steps.pop(0)["_target_"] == "LoadImaged"
    assert steps.pop(0) == {"_target_": "Orientationd", "keys": "image", "axcodes": axes}
    assert document["postprocessing"]["transforms"].pop()["_target_"] == "SaveImaged"
    parser = ConfigParser({**document, "bundle_root": str(bundle), "device": "cpu"})
    seen = parser.get_parsed_content("preprocessing")({"image": image})
    with torch.no_grad():
        pred = parser.get_parsed_content("inferer")(seen["image"][None], parser.get_parsed_content("network"))
    return parser.get_parsed_content("postprocessing")({**seen, "pred": pred[0]})["pred"]


def test_the_network_is_loaded_as_torchscript(bundle: Path, package: ModelPackage) -> None:
    from monai.bundle import load

    script, metadata, others = load(
        name=bundle.name, bundle_dir=bundle.parent, load_ts_module=True, device="cpu", config_files=["inference.json"]
    )
    image = example(package, seed=5)
    with torch.no_grad():
        assert torch.allclose(script(image), Logits(package)(image), atol=1e-5)
    assert metadata["network_data_format"]["outputs"]["pred"]["num_channels"] == 3
    assert json.loads(others["inference.json"])["inferer"]["roi_size"] == [4, 8, 12]


def test_weights_are_loaded_into_a_network(bundle: Path, package: ModelPackage) -> None:
    from monai.bundle import load

    torch.manual_seed(9)
    other = Logits(
        ModelPackage(plan=package.plan, weights=build_network("PlannedUNet", package.plan.network).state_dict())
    )
    result = load(name=bundle.name, bundle_dir=bundle.parent, model=other, device="cpu")
    image = example(package, seed=5)
    with torch.no_grad():
        assert torch.equal(result(image), Logits(package)(image))


def test_the_network_takes_and_gives_what_the_metadata_say(bundle: Path) -> None:
    from monai.bundle import verify_net_in_out

    configs = bundle / "configs"
    verify_net_in_out(
        "network", str(configs / "metadata.json"), str(configs / "inference.json"), "cpu", n=2, bundle_root=str(bundle)
    )


def test_nothing_is_missing_that_inference_needs(bundle: Path) -> None:
    from monai.bundle import ConfigParser
    from monai.bundle.properties import InferProperties, MetaProperties

    configs = bundle / "configs"
    parser = ConfigParser()
    parser.read_config(str(configs / "inference.json"))
    parser.read_meta(str(configs / "metadata.json"))
    needed = [item["id"] for item in (*InferProperties.values(), *MetaProperties.values()) if item["required"]]
    assert len(needed) > 10 and not [name for name in needed if parser.get(name) is None]


@pytest.mark.parametrize("size", [(8, 16, 24), (3, 16, 30)])
def test_volumes_larger_than_a_window_come_out_nearly_the_same(
    bundle: Path, package: ModelPackage, size: tuple[int, int, int]
) -> None:
    """Where windows lie at the same places: the lengths are multiples of half a window, or less than one.

    What differs comes from the faintest weights, which MONAI takes as 0.001. With other weights or windows, or without
    padding, of these small windows more than 3 % differ.
    """
    from monai.data import MetaTensor

    z, y, x = package.plan.spacing
    noise = np.random.default_rng(3).normal(size=size).astype(np.float32)
    image = Geometry(size=size[::-1], spacing=(x, y, z), origin=(7.0, -20.0, 3.0)).place(noise)
    own = sitk.GetArrayFromImage(Predictor(package, torch.device("cpu")).predict([image]))
    affine = np.array([[0, 0, -x, -7], [0, -y, 0, 20], [z, 0, 0, 3], [0, 0, 0, 1]])  # RAS of (z, y, x)
    result = predict(bundle, MetaTensor(torch.from_numpy(noise[None]), affine=affine))[0].numpy()
    assert len(np.unique(own)) > 1
    assert np.mean(result != own) < 0.025


@pytest.mark.parametrize("sign", ["$", "@", "%"])
def test_names_are_never_evaluated(package: ModelPackage, tmp_path: Path, sign: str) -> None:
    """MONAI runs text that begins with $, looks up @ and reads another file for %, in metadata too."""
    from monai.bundle import ConfigParser

    trap = tmp_path / "ran"
    code = f"{sign}__import__('pathlib').Path({str(trap)!r}).touch()"
    classes = tuple(replace(item, name=f"{code}#{item.value} @##a") for item in package.plan.classes)
    plan = replace(package.plan, classes=classes, channel_names=(code,))
    hostile = {"_target_": "pathlib.Path.touch", "self": f"$__import__('pathlib').Path({str(trap)!r})"}
    save_package(replace(package, plan=plan, metrics={"val_dice": hostile}), tmp_path / "model")
    configs = export(tmp_path / "model", tmp_path / "bundle", "monai-bundle").path / "configs"
    parser = ConfigParser()
    parser.read_config(str(configs / "metadata.json"))
    metadata = parser.get_parsed_content()
    assert not trap.exists()
    assert "__import__" in metadata["name"] and metadata["network_data_format"]["inputs"]["image"]["channel_def"]["0"]
    assert metadata["eval_metrics"]["mean_dice"] is None
    parser = ConfigParser()
    parser.read_config(str(configs / "inference.json"))
    parser.read_meta(str(configs / "metadata.json"))
    for part in ("preprocessing", "inferer", "postprocessing"):
        parser.get_parsed_content(part)
    assert not trap.exists()


def test_slices_along_another_axis(package: ModelPackage, tmp_path: Path) -> None:
    """MONAI turns a volume as this program does: an array (x, z, y) whose axes grow to Left, Superior, Posterior."""
    from monai.data import MetaTensor

    network = {**package.plan.network, "dims": 2, "strides": [[1, 1], [2, 2]], "kernels": [[3, 3], [3, 3]]}
    plan = replace(package.plan, dims=2, slice_axis="x", patch_size=(1, 16, 24), divisor=(1, 2, 2), network=network)
    torch.manual_seed(2)
    weights = build_network(plan.architecture, plan.network).state_dict()
    save_package(replace(package, plan=plan, weights=weights), tmp_path / "model")
    bundle = export(tmp_path / "model", tmp_path / "bundle", "monai-bundle").path
    _, height, depth = plan.spacing  # of z and y
    noise = np.random.default_rng(3).normal(size=(5, 16, 24)).astype(np.float32)
    upright = np.ascontiguousarray(noise.transpose(1, 2, 0))  # (z, y, x)
    image = Geometry(size=(5, 24, 16), spacing=(4.0, depth, height), origin=(7.0, -20.0, 3.0)).place(upright)
    own = Predictor(replace(package, plan=plan, weights=weights), torch.device("cpu")).predict([image])
    affine = np.array([[-4.0, 0, 0, -7], [0, 0, -depth, 20], [0, height, 0, 3], [0, 0, 0, 1]])  # RAS of (x, z, y)
    result = predict(bundle, MetaTensor(torch.from_numpy(noise[None]), affine=affine), axes="LSP")[0].numpy()
    assert np.array_equal(result, sitk.GetArrayFromImage(own).transpose(2, 0, 1)) and len(np.unique(result)) > 1


def test_classes_that_overlap_are_channels(package: ModelPackage, tmp_path: Path) -> None:
    """A sigmoid each, above one half, as this program has it."""
    from monai.data import MetaTensor

    network = {**package.plan.network, "out_channels": 2}
    classes = tuple(replace(item, value=value) for value, item in enumerate(package.plan.classes, start=1))
    plan = replace(package.plan, overlapping=True, classes=classes, network=network)
    torch.manual_seed(3)
    overlapping = ModelPackage(plan=plan, weights=build_network(plan.architecture, network).state_dict())
    save_package(overlapping, tmp_path / "model")
    bundle = export(tmp_path / "model", tmp_path / "bundle", "monai-bundle").path
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "kidney", "1": "cyst"}
    z, y, x = plan.spacing
    noise = np.random.default_rng(3).normal(size=(4, 8, 12)).astype(np.float32)
    image = Geometry(size=(12, 8, 4), spacing=(x, y, z), origin=(7.0, -20.0, 3.0)).place(noise)
    bits = sitk.GetArrayFromImage(Predictor(overlapping, torch.device("cpu")).predict([image]))
    affine = np.array([[0, 0, -x, -7], [0, -y, 0, 20], [z, 0, 0, 3], [0, 0, 0, 1]])
    result = predict(bundle, MetaTensor(torch.from_numpy(noise[None]), affine=affine)).numpy()
    assert result.shape[0] == 2 and (bits == 3).any()
    assert (result[0] == (bits & 1)).all() and (result[1] == (bits >> 1)).all()


def test_images_prepared_as_in_nnunet_are_refused(package: ModelPackage, tmp_path: Path) -> None:
    plan = replace(package.plan, preparation=nnunet_preparation("z"))
    save_package(replace(package, plan=plan), tmp_path / "model")
    with pytest.raises(ModelError, match="MONAI bundles cannot prepare images as nnU-Net does"):
        export(tmp_path / "model", tmp_path / "bundle", "monai-bundle")
    assert not (tmp_path / "bundle").exists()
