"""Models as folders that nnU-Net runs: forms, weights and folds, and what nnU-Net cannot do, in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunet_reference import fill, reference_network

from MedSegTrainerLib.config.plan import Normalization, Plan
from MedSegTrainerLib.errors import ModelError, UsageError
from MedSegTrainerLib.export.formats import export
from MedSegTrainerLib.export.nnunet_model import write_nnunet
from MedSegTrainerLib.export.tracing import Exported
from MedSegTrainerLib.model.package import ModelPackage, load_members, save_ensemble, save_package
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.planning.nnunet_preparation import nnunet_preparation

STYLE = {"decoder_blocks": [2, 1], "conv_bias": True, "norm": "instance", "slope": 0.01, "dropout": 0.0}
LEVELS_3D = {
    "features": [4, 6, 8], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]], "kernels": [[1, 3, 3], *[[3, 3, 3]] * 2],
    "blocks": [1, 2, 2], "deep_supervision": True, "out_channels": 3, "in_channels": 2, "dims": 3, **STYLE,
}  # fmt: skip
LEVELS_2D = {**LEVELS_3D, "dims": 2, "strides": [[1, 1], [2, 2], [2, 2]], "kernels": [[3, 3]] * 3}
CT = Normalization(method="ct", low=-90.5, high=210, mean=44, std=31.5)


def nnunet_plan(plan: Plan, architecture: str = "PlainConvUNet", **changed: Any) -> Plan:
    values: dict[str, Any] = {
        "architecture": architecture, "network": LEVELS_3D, "patch_size": (4, 8, 12), "divisor": (2, 4, 4),
        "channel_names": ("CT", "PET"), "normalization": (CT, Normalization(method="zscore", masked=True)),
        "preparation": nnunet_preparation("z"), "flip_axes": (2,), **changed,
    }  # fmt: skip
    return replace(plan, **values)


def model_of(plan: Plan, seed: int = 0) -> ModelPackage:
    network = fill(build_network(plan.architecture, plan.network), seed)
    return ModelPackage(plan=plan, weights=network.state_dict())


def written(package: ModelPackage, tmp_path: Path) -> Exported:
    save_package(package, tmp_path / "model")
    return export(tmp_path / "model", tmp_path / "Dataset007_Abdomen", "nnunet")


def json_of(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("architecture", ["PlainConvUNet", "ResEncUNet"])
class TestFolder:
    def test_their_network_takes_the_weights(self, architecture: str, tiny_plan: Plan, tmp_path: Path) -> None:
        package = model_of(nnunet_plan(tiny_plan, architecture))
        exported = written(package, tmp_path)
        assert exported.difference == 0
        checkpoint = torch.load(exported.path / "fold_0" / "checkpoint_final.pth", weights_only=True)
        network = reference_network(architecture, package.plan.network)
        network.load_state_dict(checkpoint["network_weights"])  # strict
        image = torch.randn(1, 2, 4, 8, 12)
        with torch.no_grad():
            torch.testing.assert_close(network.eval()(image), package.build()(image)[0], atol=1e-4, rtol=1e-4)

    def test_is_read_as_the_same_model(self, architecture: str, tiny_plan: Plan, tmp_path: Path) -> None:
        package = model_of(nnunet_plan(tiny_plan, architecture))
        (read,) = load_members(written(package, tmp_path).path)
        same = ("spacing", "patch_size", "divisor", "normalization", "channel_names", "flip_axes", "network")
        assert {name: getattr(read.plan, name) for name in same} == {name: getattr(package.plan, name) for name in same}
        assert read.plan.preparation == package.plan.preparation and read.plan.class_names == ("kidney", "cyst")
        assert all(torch.equal(read.weights[name], value) for name, value in package.weights.items())


class TestForms:
    def test_of_a_volume(self, tiny_plan: Plan, tmp_path: Path) -> None:
        exported = written(model_of(nnunet_plan(tiny_plan)), tmp_path)
        plans, dataset = json_of(exported.path, "plans.json"), json_of(exported.path, "dataset.json")
        assert dataset["labels"] == {"background": 0, "kidney": 1, "cyst": 2}
        assert dataset["channel_names"] == {"0": "CT", "1": "PET"} and dataset["file_ending"] == ".nii.gz"
        assert (plans["dataset_name"], plans["image_reader_writer"]) == ("Dataset007_Abdomen", "NibabelIOWithReorient")
        settings = plans["configurations"]["3d_fullres"]
        assert (settings["patch_size"], settings["spacing"]) == ([4, 8, 12], [2.5, 1.1, 0.8])
        assert settings["normalization_schemes"] == ["CTNormalization", "ZScoreNormalization"]
        assert settings["use_mask_for_norm"] == [False, True]
        assert plans["foreground_intensity_properties_per_channel"]["0"] == {
            "percentile_00_5": -90.5, "percentile_99_5": 210, "mean": 44, "std": 31.5,
        }  # fmt: skip
        assert settings["architecture"]["arch_kwargs"]["n_conv_per_stage_decoder"] == [1, 2]  # coarsest first

    def test_of_slices_along_another_axis(self, tiny_plan: Plan, tmp_path: Path) -> None:
        plan = nnunet_plan(
            tiny_plan, dims=2, network=LEVELS_2D, patch_size=(1, 8, 12), divisor=(1, 4, 4), flip_axes=(1, 2),
            preparation=nnunet_preparation("x"),
        )  # fmt: skip
        exported = written(model_of(plan), tmp_path)
        plans = json_of(exported.path, "plans.json")
        assert (plans["transpose_forward"], plans["transpose_backward"]) == ([2, 0, 1], [1, 2, 0])
        assert plans["original_median_spacing_after_transp"] == [2.5, 1.1, 0.8]
        settings = plans["configurations"]["2d"]
        assert (settings["patch_size"], settings["spacing"]) == ([8, 12], [1.1, 0.8])
        checkpoint = torch.load(exported.path / "fold_0" / "checkpoint_final.pth", weights_only=True)
        assert checkpoint["inference_allowed_mirroring_axes"] == (0, 1)
        assert checkpoint["init_args"]["configuration"] == "2d" and checkpoint["trainer_name"] == "nnUNetTrainer"

    def test_nothing_is_mirrored_where_training_did_not(self, tiny_plan: Plan, tmp_path: Path) -> None:
        exported = written(model_of(nnunet_plan(tiny_plan, flip_axes=())), tmp_path)
        checkpoint = torch.load(exported.path / "fold_0" / "checkpoint_final.pth", weights_only=True)
        assert checkpoint["inference_allowed_mirroring_axes"] is None

    def test_an_ensemble_has_a_fold_for_each(self, tiny_plan: Plan, tmp_path: Path) -> None:
        members = [model_of(nnunet_plan(tiny_plan), seed) for seed in (1, 2)]
        save_ensemble(members, tmp_path / "model", training={}, metrics={})
        exported = export(tmp_path / "model", tmp_path / "out", "nnunet")
        assert exported.usage.splitlines()[0].endswith(f"-m {tmp_path / 'out'} -f 0 1")
        read = load_members(exported.path)
        for was, now in zip(members, read, strict=True):
            assert torch.equal(now.weights["heads.0.bias"], was.weights["heads.0.bias"])

    def test_other_numbers_of_classes_are_told(self, tiny_plan: Plan, tmp_path: Path) -> None:
        assert written(model_of(nnunet_plan(tiny_plan)), tmp_path).usage.endswith("classes 3, 7 are 1 to 2 there.")


class TestRefused:
    def refusal(self, plan: Plan, tmp_path: Path) -> str:
        with pytest.raises(ModelError) as refused:
            write_nnunet([ModelPackage(plan=plan, weights={})], tmp_path / "out")
        assert [*tmp_path.iterdir()] == []
        return str(refused.value)

    def test_everything_at_once(self, tiny_plan: Plan, tmp_path: Path) -> None:
        text = self.refusal(replace(tiny_plan, overlapping=True, neighbour_slices=1), tmp_path)
        assert "its network is PlannedUNet, and nnU-Net has PlainConvUNet and ResEncUNet (train with --model)" in text
        assert "its classes overlap" in text and "neighbouring slices" in text

    @pytest.mark.parametrize(
        ("changed", "words"),
        [({"network": {**LEVELS_3D, "norm": "group"}}, "its network has group norm"),
         ({"normalization": (CT, Normalization(method="percentile"))}, "it normalises by percentile"),
         ({"preparation": None, "image_size": (64, 64)}, "image_size"),
         ({"preparation": None}, "its images have one slice"),
         ({"preparation": replace(nnunet_preparation("z"), orientation="LPS")}, "are prepared as nnU-Net's readers"),
         ({"preparation": replace(nnunet_preparation("z"), crop_to_nonzero=False)}, "and preprocessor do not")],
    )  # fmt: skip
    def test_what_nnunet_cannot_do(self, tiny_plan: Plan, tmp_path: Path, changed: dict[str, Any], words: str) -> None:
        assert words in self.refusal(nnunet_plan(tiny_plan, **changed), tmp_path)

    def test_a_folder_whose_name_says_something_else(self, tiny_plan: Plan, tmp_path: Path) -> None:
        package = model_of(nnunet_plan(tiny_plan))
        with pytest.raises(UsageError, match="would be taken for one of the trainer mine"):
            write_nnunet([package], tmp_path / "mine__plans__3d_fullres")
        for name in ("nnUNetTrainer__nnUNetPlans__3d_fullres", "mine__plans__2d", "my__model"):
            assert load_members(write_nnunet([package], tmp_path / name).path)

    @pytest.mark.parametrize("name", ["background", "ignore"])
    def test_a_class_with_a_name_that_means_something(self, tiny_plan: Plan, tmp_path: Path, name: str) -> None:
        classes = (replace(tiny_plan.classes[0], name=name), tiny_plan.classes[1])
        assert f"a class is called '{name}'" in self.refusal(nnunet_plan(tiny_plan, classes=classes), tmp_path)
