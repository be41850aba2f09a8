"""Photographs with masks of 0 and 255, from files to a model, its label maps and their measures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MedSegTrainerLib.api import apply, evaluate
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import ConfigError, DataError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.model.package import load_package

SETTINGS = (
    "trainer.device=cpu", "mixed_precision=false", "channels_last=false", "batch_size=2", "num_workers=0",
    "learning_rate=0.01", "checkpoint_seconds=0", "tensorboard=false", "fold=0", "folds=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright discs on a dark ground, in images of several sizes; their masks are named otherwise."""
    root = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(8)
    for index, (height, width) in enumerate([(60, 90), (64, 80), (90, 60), (66, 84), (70, 70), (60, 96)]):
        y, x = np.mgrid[:height, :width]
        mask = np.hypot(y - height * 0.4, x - width * 0.6) < 14 + index
        image = np.clip(60 + 120 * mask + generator.normal(0, 12, mask.shape), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(root / f"image_{index:04}.png", dpi=(96, 96))
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / f"mask_{index:04}.png")
    return root


def run_training(data: Path, folder: Path, *settings: str) -> JobFolder:
    config: TrainConfig = parse_config(
        TrainConfig, with_settings({"data": {"data_dir": str(data)}}, [*SETTINGS, *settings])
    )
    job = JobFolder(folder)
    job.create(config)
    run_job(folder)
    return job


@pytest.fixture(scope="module")
def trained(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    return run_training(
        photographs, tmp_path_factory.mktemp("jobs") / "discs", "network.type=UNet2D", "base_channels=4",
        "image_size=48", "out_channels=3", "epochs=8", "samples_per_volume=5",
    )  # fmt: skip


class TestTraining:
    def test_learns_the_discs(self, trained: JobFolder) -> None:
        package = load_package(trained.model)
        assert [(item.value, item.name) for item in package.plan.classes] == [(255, "foreground")]
        assert (package.plan.architecture, package.plan.image_size) == ("UNet2D", (48, 48))
        assert package.metrics["val_dice"] > 0.9

    def test_says_that_the_number_of_classes_is_another(self, trained: JobFolder) -> None:
        told = [event["message"] for event in EventReader(trained.events_file).read() if event["kind"] == "warned"]
        assert [message for message in told if "out_channels" in message] == [
            "network.out_channels is 2: classes with the background; the configuration says 3, but the data decides."
        ]

    def test_reports_on_the_images_themselves(self, trained: JobFolder) -> None:
        document = json.loads((trained.report / "metrics.json").read_text(encoding="utf-8"))
        assert set(document["cases"]) == set(load_package(trained.model).metrics["validation_cases"])
        assert document["overall"]["mean_dice"] > 0.9
        assert "data:image/jpeg" in (trained.report / "report.html").read_text(encoding="utf-8")


class TestApply:
    def test_writes_masks_like_those_it_learned_from(
        self, trained: JobFolder, photographs: Path, tmp_path: Path
    ) -> None:
        inputs = [photographs / f"image_{index:04}.png" for index in (2, 5)]
        files = apply(trained.path, inputs, tmp_path / "out", output_format="png")
        assert [file.name for file in files] == ["image_0002.png", "image_0005.png"]
        for file, source in zip(files, inputs, strict=True):
            found = np.array(Image.open(file))
            assert found.shape == np.array(Image.open(source)).shape
            assert set(np.unique(found)) == {0, 255}
        measured = evaluate(tmp_path / "out", photographs, tmp_path / "measured")
        assert measured["overall"]["mean_dice"] > 0.85
        assert measured["files"]["image_0002"]["reference"] == str(photographs / "mask_0002.png")
        assert measured["files"]["image_0002"]["image"] == str(photographs / "image_0002.png")

    @pytest.mark.parametrize(("kind", "suffix"), [("nifti", "nii.gz"), ("npy", "npy")])
    def test_other_formats(self, trained: JobFolder, photographs: Path, tmp_path: Path, kind: str, suffix: str) -> None:
        (file,) = apply(trained.path, [photographs / "image_0001.png"], tmp_path, output_format=kind)
        assert file.name == f"image_0001.{suffix}"
        if kind == "npy":
            assert np.load(file, allow_pickle=False).shape == (1, 64, 80)

    def test_a_volume_cannot_become_a_png(self, trained: JobFolder, tmp_path: Path) -> None:
        pages = [Image.fromarray(np.full((30, 40), n, np.uint8)) for n in range(3)]
        pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
        with pytest.raises(DataError, match=r"A PNG file holds one slice, and stack\.png would have 3"):
            apply(trained.path, [tmp_path / "stack.tif"], tmp_path / "out", output_format="png")


def test_a_3d_network_is_refused_in_words(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"network\.type = SwinUNETR: the images have one slice"):
        run_training(photographs, tmp_path / "job", "network.type=SwinUNETR", "epochs=1")


def test_volumes_slice_by_slice(dataset: Path, tmp_path: Path) -> None:
    """A 2D network on volumes gives back volumes."""
    job = run_training(dataset, tmp_path / "job", "network.type=UNet2D", "base_channels=4", "image_size=32", "epochs=2")
    (file,) = apply(job.path, [dataset / "images" / "case_0.nii.gz"], tmp_path / "out", output_format="nii.gz")
    document = json.loads((job.report / "metrics.json").read_text(encoding="utf-8"))
    assert len(document["cases"]) == 2
    assert file.exists()


def test_jpeg_masks_are_taken_with_a_warning(photographs: Path, tmp_path: Path) -> None:
    for folder, prefix in (("images", "image"), ("masks", "mask")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for index in range(3):
            picture = Image.open(photographs / f"{prefix}_{index:04}.png")
            picture.save(tmp_path / "data" / folder / f"{index}.jpg", quality=90)
    job = run_training(
        tmp_path / "data", tmp_path / "job", "base_channels=4", "image_size=32", "epochs=1", "samples_per_volume=2"
    )
    told = [event["message"] for event in EventReader(job.events_file).read() if event["kind"] == "warned"]
    assert any(message.startswith("Label map as JPEG, 3 times") for message in told)
    assert [item.value for item in load_package(job.model).plan.classes] == [255]
