"""Networks as files of other programs: the same logits, at other sizes too, or words that say why not."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSegTrainerLib.config.plan import Normalization, Plan
from MedSegTrainerLib.errors import ModelError, UsageError
from MedSegTrainerLib.export.formats import export
from MedSegTrainerLib.export.tracing import TOLERANCE, Logits, check, example
from MedSegTrainerLib.inference.ensemble import averaged
from MedSegTrainerLib.model.package import ModelPackage, save_ensemble, save_package
from MedSegTrainerLib.networks import build_network


@pytest.fixture
def model(package: ModelPackage, tmp_path: Path) -> Path:
    save_package(package, tmp_path / "model")
    return tmp_path / "model"


def load(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch prefers its newer format
        return torch.jit.load(str(path))


def test_torchscript_takes_other_sizes_and_numbers(model: Path, package: ModelPackage, tmp_path: Path) -> None:
    exported = export(model, tmp_path / "out" / "m.ts", "torchscript")
    assert exported.is_dynamic and exported.difference <= TOLERANCE
    image = torch.randn(3, 1, 6, 10, 14)
    with torch.no_grad():
        assert torch.allclose(load(exported.path)(image), Logits(package)(image), atol=TOLERANCE)


def test_a_missing_package_is_named_with_what_installs_it(model: Path, tmp_path: Path) -> None:
    """In an interpreter in which onnx cannot be found."""
    script = (
        "import sys; from pathlib import Path; sys.modules['onnx'] = None\n"
        "from MedSegTrainerLib.export.formats import export; from MedSegTrainerLib.errors import UsageError\n"
        f"try: export(Path({str(model)!r}), Path({str(tmp_path / 'm.onnx')!r}), 'onnx')\n"
        "except UsageError as error: print(error)"
    )
    root = Path(__file__).resolve().parents[3]
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True).stdout
    assert "pip install 'MedSegTrainerLib[export]'" in output


def test_what_does_not_agree_is_not_kept(package: ModelPackage) -> None:
    network = Logits(package)
    with pytest.raises(ModelError, match=r"The file differs from the model by 0\.001, more than 0\.0001"):
        check([package], lambda image: network(image).detach() + 1e-3, "The file")
    with pytest.raises(ModelError, match="finite logits"):
        check([package], lambda image: network(image).detach() * float("nan"), "The file")
    with pytest.raises(ModelError, match="finite logits"):
        check([package], lambda image: network(image).detach()[:, :1], "The file")


def test_what_is_there_stays(model: Path, tmp_path: Path) -> None:
    (tmp_path / "m.ts").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        export(model, tmp_path / "m.ts", "torchscript")
    assert (tmp_path / "m.ts").read_text() == "mine"


def test_an_unknown_format(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'torchscript'"):
        export(model, tmp_path / "m", "torchscrip")


class TestEnsemble:
    @pytest.fixture
    def members(self, package: ModelPackage) -> list[ModelPackage]:
        torch.manual_seed(8)
        weights = build_network(package.plan.architecture, package.plan.network).state_dict()
        return [package, replace(package, weights=weights)]

    def test_its_logits_are_those_that_are_applied(self, members: list[ModelPackage], tmp_path: Path) -> None:
        save_ensemble(members, tmp_path / "all", training={}, metrics={})
        exported = export(tmp_path / "all", tmp_path / "m.ts", "torchscript")
        assert exported.is_dynamic and exported.difference <= TOLERANCE
        image = example(members[0], batch=3, grown=True, seed=5)
        with torch.no_grad():
            expected = averaged([Logits(member) for member in members], with_variance=False)(image)
            assert torch.allclose(load(exported.path)(image), expected, atol=TOLERANCE)
            assert not torch.allclose(expected.softmax(1), Logits(members[0])(image).softmax(1), atol=0.01)

    def test_a_bundle_tells_how_good_all_are_together(self, members: list[ModelPackage], tmp_path: Path) -> None:
        save_ensemble(members, tmp_path / "all", training={}, metrics={"val_dice": 0.7})
        exported = export(tmp_path / "all", tmp_path / "bundle", "monai-bundle")
        document = json.loads((exported.path / "configs/metadata.json").read_text())
        assert document["eval_metrics"] == {"mean_dice": 0.7} and "2 times PlannedUNet" in document["description"]
        assert "an ensemble of 2 models" in (exported.path / "docs/README.md").read_text()

    def test_members_that_see_other_images_are_refused(self, members: list[ModelPackage], tmp_path: Path) -> None:
        other = replace(members[1], plan=replace(members[1].plan, spacing=(2.5, 1.0, 1.0)))
        save_ensemble([members[0], other], tmp_path / "all", training={}, metrics={})
        with pytest.raises(ModelError, match="Export them one by one"):
            export(tmp_path / "all", tmp_path / "m.ts", "torchscript")


FLAT = {  # a 2D plan that sees a slice on each side
    "dims": 2, "patch_size": (1, 8, 12), "divisor": (1, 2, 2), "flip_axes": (),
    "network": {
        "dims": 2, "in_channels": 3, "out_channels": 3, "features": [4, 6], "strides": [[1, 1], [2, 2]],
        "kernels": [[3, 3], [3, 3]], "blocks": [1, 1], "deep_supervision": False,
    },
}  # fmt: skip


class TestBundle:
    def test_it_holds_what_monai_looks_for(self, model: Path, package: ModelPackage, tmp_path: Path) -> None:
        exported = export(model, tmp_path / "bundle", "monai-bundle")
        assert sorted(p.relative_to(exported.path).as_posix() for p in exported.path.rglob("*") if p.is_file()) == [
            "configs/inference.json", "configs/metadata.json", "docs/README.md", "models/model.pt", "models/model.ts",
        ]  # fmt: skip
        image = example(package, seed=5)
        with torch.no_grad():
            assert torch.allclose(
                load(exported.path / "models/model.ts")(image), Logits(package)(image), atol=TOLERANCE
            )
        form = json.loads((exported.path / "configs/metadata.json").read_text())["network_data_format"]
        assert form["inputs"]["image"]["num_channels"] == 1
        assert form["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "kidney", "2": "cyst"}
        text = (exported.path / "configs/inference.json").read_text()
        assert "MedSegTrainerLib" not in text and str(tmp_path) not in text

    def test_label_values_are_those_of_the_training(self, model: Path, tmp_path: Path) -> None:
        exported = export(model, tmp_path / "bundle", "monai-bundle")
        steps = json.loads((exported.path / "configs/inference.json").read_text())["postprocessing"]["transforms"]
        assert steps[2]["target_labels"] == [0, 3, 7]

    def test_channels_with_other_scales_are_prepared_apart(self, tiny_plan: Plan, tmp_path: Path) -> None:
        ct = Normalization(method="ct", low=-100, high=200, mean=50, std=25)
        plan = replace(
            tiny_plan, normalization=(ct, Normalization(method="zscore")), channel_names=("CT", "MR"),
            network={**tiny_plan.network, "in_channels": 2},
        )  # fmt: skip
        weights = build_network(plan.architecture, plan.network).state_dict()
        save_package(ModelPackage(plan=plan, weights=weights), tmp_path / "two")
        exported = export(tmp_path / "two", tmp_path / "bundle", "monai-bundle")
        document = json.loads((exported.path / "configs/inference.json").read_text())
        names = [step["_target_"] for step in document["preprocessing"]["transforms"]]
        assert names[3:8] == [
            "SplitDimd", "ScaleIntensityRanged", "NormalizeIntensityd", "ConcatItemsd", "DeleteItemsd",
        ]  # fmt: skip
        assert document["preprocessing"]["transforms"][4]["b_min"] == -6.0
        assert "_%04d.nii" in document["datalist"]

    @pytest.mark.parametrize("changes", [{"neighbour_slices": 1, **FLAT}, {"image_size": (32, 32)}])
    def test_what_monai_cannot_express_is_refused(
        self, tiny_plan: Plan, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        plan = replace(tiny_plan, **changes)
        weights = build_network(plan.architecture, plan.network).state_dict()
        save_package(ModelPackage(plan=plan, weights=weights), tmp_path / "m")
        with pytest.raises(ModelError, match="MONAI bundles know no"):
            export(tmp_path / "m", tmp_path / "bundle", "monai-bundle")
        assert not (tmp_path / "bundle").exists()
