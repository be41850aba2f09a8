"""A model.pt of MONAI's Auto3DSeg gives what MONAI's own network and transforms give, or is refused with words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.config.plan import Normalization
from MedSegTrainerLib.data.samples.preprocess import prepare_image
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.model.import_model import import_model
from MedSegTrainerLib.model.package import load_package, read_card

SIZE, SPACING = (16, 24, 32), (1.5, 1.25, 1.0)  # x, y, z

CONFIG: dict[str, Any] = {
    "modality": "ct", "fold": 2, "input_channels": 1, "output_classes": 3, "class_names": ["liver", "tumor"],
    "roi_size": [16, 24, 32], "resample": True, "resample_resolution": list(SPACING), "normalize_mode": "range",
    "intensity_bounds": [-200.0, 300.0], "sigmoid": False, "crop_foreground": True, "extra_modalities": {},
    "ckpt_path": "$@bundle_root + '/model'",
    "network": {
        "_target_": "SegResNetDS", "init_filters": 8, "blocks_down": [1, 2, 2], "norm": "INSTANCE_NVFUSER",
        "in_channels": "@input_channels", "out_channels": "@output_classes", "dsdepth": 2,
    },
}  # fmt: skip


def monai_network(config: dict[str, Any]) -> torch.nn.Module:
    from monai.networks.nets import SegResNetDS

    torch.manual_seed(3)
    network = config["network"]
    return SegResNetDS(
        init_filters=network["init_filters"],
        in_channels=config["input_channels"],
        out_channels=config["output_classes"],
        norm="instance",
        blocks_down=tuple(network["blocks_down"]),
        dsdepth=network["dsdepth"],
        resolution=config["resample_resolution"] if config.get("anisotropic_scales") else None,
    ).eval()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A model.pt as Auto3DSeg writes it, with another config; ``network``: other entries of its network."""

    def make(content: dict[str, Any] | None = None, network: dict[str, Any] | None = None, **changes: Any) -> Path:
        config = {**CONFIG, **changes}
        config["network"] = {**CONFIG["network"], **(network or {})}
        saved = {"state_dict": monai_network({**CONFIG, **changes}).state_dict(), "config": config, "epoch": 40}
        torch.save({**saved, "best_metric": np.float64(0.8), **(content or {})}, tmp_path / "model.pt")
        return tmp_path / "model.pt"

    return make


def volume() -> np.ndarray:
    """(z, y, x) Hounsfield units, nowhere 0."""
    return np.random.default_rng(4).normal(40, 150, SIZE[::-1]).astype(np.float32)


def on_grid(array: np.ndarray) -> sitk.Image:
    return Geometry(size=SIZE, spacing=SPACING, origin=(3.0, -2.0, 5.0)).place(array)


@pytest.mark.parametrize("changes", [{}, {"anisotropic_scales": True, "resample_resolution": [1.0, 1.0, 5.0]}])
def test_logits_are_those_of_monai(write: Callable[..., Path], tmp_path: Path, changes: dict[str, Any]) -> None:
    """Of arrays x, y, z, scaled through a sigmoid, as its transforms make them."""
    (member,) = import_model(write(**changes), tmp_path / "model")
    spacing = changes.get("resample_resolution", SPACING)
    array = volume()
    image = Geometry(size=SIZE, spacing=tuple(spacing), origin=(3.0, -2.0, 5.0)).place(array)
    prepared, grid = prepare_image([image], member.plan)
    assert grid.size_zyx == SIZE, "the network sees x first"
    scaled = 2 * (array.transpose(2, 1, 0) + 200) / 500 - 1
    expected = torch.sigmoid(torch.from_numpy(scaled.copy()))
    assert torch.allclose(torch.from_numpy(prepared[0]), expected, atol=1e-5)
    with torch.no_grad():
        theirs = monai_network({**CONFIG, **changes})(expected[None, None])
        (ours,) = load_package(tmp_path / "model").build()(torch.from_numpy(prepared[None]))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_what_it_says(write: Callable[..., Path], tmp_path: Path) -> None:
    import_model(write(), tmp_path / "model")
    plan, card = load_package(tmp_path / "model").plan, read_card(tmp_path / "model")
    assert (plan.patch_size, plan.divisor, plan.spacing) == ((16, 24, 32), (4, 4, 4), SPACING)
    assert plan.channel_names == ("CT",)
    assert [(item.value, item.name) for item in plan.classes] == [(1, "liver"), (2, "tumor")]
    assert plan.normalization == (Normalization(method="sigmoid", low=-200.0, high=300.0),)
    assert "by MONAI Auto3DSeg, SegResNetDS, fold 2, 40 epochs" in card
    assert "not as there: every image is resampled" in card


def test_modalities_and_regions(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(
        modality="mri", normalize_mode="meanstd", input_channels=2, extra_modalities={"image2": "mri"}, sigmoid=True,
        class_names=["whole", "core", "active"], class_index=[[1, 2, 3], [2, 3], [3]], orientation_ras=True,
    )  # fmt: skip
    import_model(path, tmp_path / "model")
    plan = load_package(tmp_path / "model").plan
    assert plan.channel_names == ("MRI", "image2")
    assert plan.normalization == (Normalization(method="zscore", masked=True),) * 2
    assert plan.overlapping and plan.class_names == ("whole", "core", "active")
    assert plan.preparation is not None and plan.preparation.orientation == "RAS"


class Runs:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("it ran",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"network": {"_target_": "monai.networks.nets.SwinUNETR"}}, "SwinUNETR, and SegResNetDS alone"),
        ({"network": {"_target_": "os.system.SegResNetDS"}}, "os.system.SegResNetDS"),
        ({"network": {"preprocess": "$__import__('os')"}}, "preprocess"),
        ({"network": {"norm": "GROUP"}}, "norm GROUP"),
        ({"network": {"blocks_down": [1, 2, 2, 4]}}, "missing"),
        ({"network": {"in_channels": "@network"}}, "other channels or classes"),
        ({"network": {"init_filters": "$8"}}, "needs init_filters"),
        ({"normalize_mode": "pet"}, "'pet'"),
        ({"class_names": ["liver"]}, "there are 2 classes"),
        ({"roi_size": None}, "roi_size"),
        ({"custom_data_transforms": [{"path": "/tmp"}]}, "somebody's own code"),
        ({"content": {"config": None}}, "no config and state_dict"),
        ({"content": {"best_metric": Runs()}}, "could run code"),
        ({"extra_modalities": {"a": "ct"}}, "extra_modalities"),
    ],
)
def test_what_is_refused(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(**arguments)
    with pytest.raises(ModelError, match="cannot be used here") as refused:
        import_model(path, tmp_path / "model")
    assert words in str(refused.value)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]
