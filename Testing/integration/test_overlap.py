"""Data whose classes overlap, from folder to report: the overlap that was drawn comes out of a model again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.job_settings import ApplyConfig, EvaluateConfig
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.plan_parsing import read_plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.seg_nrrd import read_header
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job

SMALL = (
    "trainer.device=cpu", "base_channels=8", "patch_size=[24, 24, 24]", "augmentation=false", "cache=memory",
    "epochs=2", "samples_per_volume=2",
)  # fmt: skip


def run(folder: Path, config: Any) -> JobFolder:
    job = JobFolder(folder)
    job.create(config)
    run_job(folder)
    assert job.status().state == "finished", job.status().message
    return job


def segments(path: Path) -> dict[str, np.ndarray]:
    """Masks of a result, by the names in its file."""
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    array = array[..., None] if array.ndim == 3 else array
    return {one.item.name: array[..., one.layer] == one.stored for one in read_header(path)}


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Path:
    """The made-up patients with nnU-Net's regions: the liver, and with the cyst the organs."""
    root = tmp_path_factory.mktemp("nested") / "set"
    shutil.copytree(dataset, root)
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "organs": [2, 5], "liver": [2]}}))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, nested: Path, config_for: Callable[..., TrainConfig]) -> JobFolder:
    config = config_for("epochs=4", "samples_per_volume=12")
    config = replace(config, data=replace(config.data, data_dir=str(nested)))
    return run(tmp_path_factory.mktemp("model") / "job", config)


def test_the_plan_says_what_overlaps(model: JobFolder) -> None:
    plan = read_plan(model.plan_file)
    assert plan.overlapping and plan.class_names == ("organs", "liver")
    assert plan.network["out_channels"] == 2
    assert "'organs' and 'liver' share the value 2 in dataset.json" in plan.reasons["overlapping"]


def test_what_was_learned_overlaps(model: JobFolder, nested: Path, tmp_path: Path) -> None:
    images = sorted((nested / "images").iterdir())
    run(
        tmp_path / "apply",
        ApplyConfig(model=str(model.path), inputs=[str(images[0])], output_dir=str(tmp_path / "out")),
    )
    (result,) = (tmp_path / "out").glob("*.seg.nrrd")
    found = segments(result)
    assert found["liver"].any()
    assert (found["liver"] & found["organs"]).sum() > 0.8 * found["liver"].sum()
    assert Geometry.of(sitk.ReadImage(str(images[0]))).size_zyx == found["liver"].shape


def test_the_report_counts_class_by_class(model: JobFolder) -> None:
    document = json.loads((model.report / "metrics.json").read_text(encoding="utf-8"))
    assert document["overlapping"] is True and document["confusion"] is None
    assert all(values["dice"]["mean"] > 0.5 for values in document["summary"].values())


@pytest.fixture
def prostate(shared_data: Path, tmp_path: Path) -> Path:
    """Three real cases. Their authors read the voxels alone, and the headers of images and labels differ."""
    root = tmp_path / "prostate"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for number in (0, 1, 3):
        name = f"case{number:06d}.nii.gz"
        image = sitk.ReadImage(str(shared_data / "prostate_overlap" / "images" / name))
        channels = sitk.GetArrayFromImage(sitk.ReadImage(str(shared_data / "prostate_overlap" / "labels4d" / name)))
        sitk.WriteImage(image, str(root / "images" / name))
        placed = [Geometry.of(image).place(channel) for channel in channels]
        sitk.WriteImage(sitk.JoinSeries(placed), str(root / "labels" / name))
    return root


def test_real_overlapping_masks_are_trained_and_applied(prostate: Path, tmp_path: Path) -> None:
    """A few steps: what comes out is no good segmentation, but it has all classes, and they overlap."""
    job = run(
        tmp_path / "job", parse_config(TrainConfig, with_settings({"data": {"data_dir": str(prostate)}}, [*SMALL]))
    )
    plan = read_plan(job.plan_file)
    assert plan.class_names == ("label 1", "label 2", "label 3")
    assert "'label 1' and 'label 3' share" in plan.reasons["overlapping"]
    run(
        tmp_path / "apply",
        ApplyConfig(model=str(job.path), inputs=[str(prostate / "images")], output_dir=str(tmp_path / "out")),
    )
    results = sorted((tmp_path / "out").glob("*.seg.nrrd"))
    assert len(results) == 3
    assert all(set(segments(path)) == set(plan.class_names) for path in results)
    evaluation = EvaluateConfig(
        predictions=str(tmp_path / "out"), labels=str(prostate), output_dir=str(tmp_path / "report")
    )
    run(tmp_path / "evaluate", evaluation)
    document = json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert document["overlapping"] and set(document["summary"]) == set(plan.class_names)
