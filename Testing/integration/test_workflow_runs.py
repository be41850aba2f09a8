"""The shipped workflows, run on small made-up data: from a document to a model, to label maps and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.api import workflow
from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import read_label_map
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.package import load_package

WORKFLOWS = Path(__file__).resolve().parents[2] / "Resources" / "workflows"
SLICES = 6
BESIDE = ("made.jsonl", "results.csv", "results.json")  # label maps
HEIGHT, WIDTH = 40, 48
QUICK: dict[str, Any] = {"trainer.device": "cpu", "mixed_precision": False, "channels_last": False, "batch_size": 2}


def blob(index: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A bright ellipsoid in noise, and where it is: uint8 arrays."""
    generator = np.random.default_rng(index)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    distance = sum(((a - generator.uniform(-0.2, 0.2)) / 0.5) ** 2 for a in axes)
    inside = np.asarray(distance) < 1
    image = np.clip(60 + 110 * inside + generator.normal(0, 12, shape), 0, 255)
    return image.astype(np.uint8), inside.astype(np.uint8)


def write(root: Path, name: str, image: sitk.Image, mask: sitk.Image) -> None:
    for folder, content in (("images", image), ("masks", mask)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(content, str(root / folder / name))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PNG images with masks of 0 and 255, wider than high."""
    root = tmp_path_factory.mktemp("photographs")
    for index in range(SLICES):
        image, inside = blob(index, (HEIGHT, WIDTH))
        write(root, f"slice_{index}.png", sitk.GetImageFromArray(image), sitk.GetImageFromArray(255 * inside))
    return root


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory, turned: tuple[float, ...]) -> Path:
    root = tmp_path_factory.mktemp("volumes")
    for index in range(4):
        image, inside = blob(index, (20, 24, 28))
        grid = Geometry(size=(28, 24, 20), spacing=(1.0, 1.2, 1.5), origin=(5.0, -3.0, 9.0), direction=turned)
        write(root, f"case_{index}.nii.gz", grid.place(image), grid.place(inside))
    return root


@pytest.fixture(scope="module")
def turned() -> tuple[float, ...]:
    return (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def unet(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job that the guide's first document makes, with a small network and few epochs."""
    job = tmp_path_factory.mktemp("jobs") / "unet"
    workflow(
        WORKFLOWS / "unet.json", job, photographs,
        **QUICK, epochs=14, base_channels=4, image_size=32, learning_rate=0.01, samples_per_volume=4,
        save_frequency=7,
    )  # fmt: skip
    return job


def command(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


class TestTraining:
    def test_unet(self, unet: Path) -> None:
        package = load_package(unet)
        assert package.plan.architecture == "UNet2D"
        assert package.plan.patch_size == (1, 32, 32)
        assert (package.plan.optimizer_type, package.plan.loss.loss_type) == ("Adam", "combined")
        assert package.metrics["val_dice"] > 0.8
        assert list((unet / "checkpoints" / "unet").iterdir())

    def test_small_dataset(self, photographs: Path, tmp_path: Path) -> None:
        settings = {**QUICK, "epochs": 2, "base_channels": 4, "image_size": "[32, 48]", "samples_per_volume": 1}
        results = workflow(WORKFLOWS / "small_dataset.json", tmp_path / "job", photographs, **settings)
        plan = load_package(results["Model"]).plan
        assert (plan.architecture, plan.loss.loss_type, plan.patch_size) == ("UNet2D", "dice", (1, 32, 48))
        asked = JobFolder(tmp_path / "job").read_document()["config"]
        assert asked["data"]["augmentation_strength"] == "strong"
        assert asked["trainer"]["patience"] == 50

    def test_swin_unetr(self, volumes: Path, tmp_path: Path) -> None:
        settings = {
            **QUICK, "epochs": 1, "embed_dim": 12, "image_size": 32, "img_size": 32, "samples_per_volume": 1,
            "batch_size": 1, "train_split": 0.25, "val_split": 0.25, "warmup_epochs": 0, "window_size": 2,
        }  # fmt: skip
        results = workflow(WORKFLOWS / "swin_unetr.json", tmp_path / "job", volumes, **settings)
        plan = load_package(results["Model"]).plan
        assert (plan.architecture, plan.patch_size) == ("SwinUNETR", (32, 64, 64))  # it needs 4 voxels at the bottom
        assert (plan.optimizer_type, plan.lr_schedule, plan.gradient_clip) == ("AdamW", "cosine", 1.0)
        assert plan.loss.weights() == {"dice": 0.5, "focal": 0.5}


class TestTesting:
    @pytest.mark.parametrize("output_format, suffix", [("nifti", "nii.gz"), ("png", "png"), ("npy", "npy")])
    def test_on_every_case(
        self, unet: Path, photographs: Path, tmp_path: Path, output_format: str, suffix: str
    ) -> None:
        document = json.loads((WORKFLOWS / "testing.json").read_text(encoding="utf-8"))
        document["nodes"][1]["config"] |= {"model": str(unet), "output_format": output_format}
        path = tmp_path / "testing.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        results = workflow(path, tmp_path / "out", photographs)
        names = [f"slice_{index}" for index in range(SLICES)]
        label_maps = sorted(p.name for p in results["Label maps"].iterdir() if p.name not in BESIDE)
        assert label_maps == [f"{name}.{suffix}" for name in names]
        assert sorted(p.name for p in results["Pictures"].iterdir()) == [f"{name}.png" for name in names]
        metrics = json.loads((results["Report"].parent / "metrics.json").read_text(encoding="utf-8"))
        assert list(metrics["cases"]) == names
        (name,) = metrics["summary"]
        assert list(metrics["summary"][name]) == ["dice", "iou", "precision", "recall", "hd95_mm"]
        assert name == load_package(unet).plan.classes[0].name
        assert metrics["overall"]["mean_dice"] > 0.8
        first = results["Label maps"] / f"slice_0.{suffix}"
        array = np.load(first) if suffix == "npy" else sitk.GetArrayFromImage(read_label_map(first))
        assert array.shape == (1, HEIGHT, WIDTH)
        assert set(np.unique(array)) == {0, load_package(unet).plan.classes[0].value}

    def test_trained_and_tested_in_one_document(self, photographs: Path, tmp_path: Path) -> None:
        training = json.loads((WORKFLOWS / "unet.json").read_text(encoding="utf-8"))
        testing = json.loads((WORKFLOWS / "testing.json").read_text(encoding="utf-8"))
        predictor = {"type": "BatchPredictor", "name": "predictor", "config": {"save_predictions": "false"}}
        document = {"workflow": "Both", "nodes": [*training["nodes"], predictor, testing["nodes"][2]]}
        path = tmp_path / "both.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        settings = {**QUICK, "epochs": 1, "base_channels": 4, "image_size": 32, "samples_per_volume": 1}
        results = workflow(path, tmp_path / "out", photographs, **settings)
        metrics = json.loads((results["Report"].parent / "metrics.json").read_text(encoding="utf-8"))
        trained = load_package(tmp_path / "out" / "train")
        assert list(metrics["cases"]) == trained.training["val_cases"]
        assert list((tmp_path / "out").rglob("slice_*.nii.gz")) == []


class TestCommand:
    def test_makes_the_job_of_the_train_command(self, tmp_path: Path) -> None:
        """The data folder is empty, so both end at once; what they were asked to do stays in job.json."""
        (tmp_path / "data").mkdir()
        document = WORKFLOWS / "unet.json"
        settings = ("--set", "epochs=3", "--set", "learning_rate=0.5")
        assert command("workflow", document, "--data", tmp_path / "data", "-o", tmp_path / "a", *settings) == 1
        assert command("train", tmp_path / "data", "--config", document, "-o", tmp_path / "b", *settings) == 1
        one, other = (JobFolder(tmp_path / name).read_document() for name in "ab")
        assert one == other
        assert (one["config"]["trainer"]["epochs"], one["config"]["optimizer"]["learning_rate"]) == (3, 0.5)
        assert one["config"]["network"]["type"] == "UNet2D"

    def test_only_checks(
        self, unet: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words: list[str | Path] = [
            "workflow",
            WORKFLOWS / "testing.json",
            "--data",
            photographs,
            "--set",
            f"predictor.model={unet}",
        ]
        assert command(*words, "-o", tmp_path / "out", "--validate") == 0
        told = capsys.readouterr().out
        assert f"1. apply {unet.resolve()} to all {SLICES} cases of {photographs.resolve()}" in told
        assert "2. measure dice, iou, precision, recall, hd95" in told
        assert list(tmp_path.iterdir()) == []

    def test_a_wrong_document_makes_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "document.json"
        path.write_text('{"nodes": [{"type": "Traner", "config": {}}]}', encoding="utf-8")
        assert command("workflow", path, "-o", tmp_path / "out") == 2
        assert "Did you mean 'Trainer'?" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
