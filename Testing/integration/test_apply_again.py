"""Applying models to several images: averaged, with maps, stopped, started again, and what is never overwritten."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.errors import DataError, UsageError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.model.package import load_package, save_description
from MedSegTrainerLib.results_file import read_results


def apply(model: Path, out: Path, dataset: Path, *names: str, **settings: Any) -> list[dict[str, Any]]:
    """Runs the job, and what it told."""
    inputs = [str(dataset / "images" / f"{name}.nii.gz") for name in names]
    values: dict[str, Any] = {"model": str(model), "inputs": inputs, "output_dir": str(out), "device": "cpu"}
    job = JobFolder(out / "job")
    job.create(ApplyConfig(**{**values, **settings}))
    run_job(job.path)
    return EventReader(job.events_file).read(limit=10**6)


def seconds_of(events: list[dict[str, Any]]) -> dict[str, float]:
    return {event["name"]: event["seconds"] for event in events if event["kind"] == "case"}


class TestAgain:
    def test_what_is_there_is_kept_what_is_missing_is_made(
        self, trained: JobFolder, dataset: Path, tmp_path: Path
    ) -> None:
        apply(trained.model, tmp_path, dataset, "case_0")
        before = (tmp_path / "case_0.seg.nrrd").stat().st_mtime_ns
        events = apply(trained.model, tmp_path, dataset, "case_0", "case_1")
        assert (tmp_path / "case_0.seg.nrrd").stat().st_mtime_ns == before
        assert seconds_of(events)["case_0"] == 0 < seconds_of(events)["case_1"]
        (stage,) = [event["message"] for event in events if event["kind"] == "stage"]
        assert "1 of 2 are there already" in stage

    def test_what_was_said_of_a_result_stays_with_it(self, trained: JobFolder, dataset: Path, tmp_path: Path) -> None:
        """Also of images that this run knows nothing of, and of one that could not be read there is the reason."""
        apply(trained.model, tmp_path, dataset, "case_0")
        (first,) = read_results(tmp_path)
        broken = tmp_path / "broken.nii.gz"
        broken.write_bytes(b"no image")
        with pytest.raises(DataError, match="1 of 2 images were not segmented"):
            inputs = [str(dataset / "images" / "case_1.nii.gz"), str(broken)]
            apply(trained.model, tmp_path, dataset, inputs=inputs)
        failed, *others = read_results(tmp_path)
        assert failed.name == "broken" and "broken.nii.gz" in failed.error and failed.likely_dice is None
        assert first in others and {case.name for case in others} == {"case_0", "case_1"}
        events = apply(trained.model, tmp_path, dataset, "case_0")
        assert [e["likely_dice"] for e in events if e["kind"] == "case"] == [first.likely_dice] != [None]

    def test_other_settings_need_a_word(self, trained: JobFolder, dataset: Path, tmp_path: Path) -> None:
        apply(trained.model, tmp_path, dataset, "case_0")
        with pytest.raises(UsageError, match="--overwrite"):
            apply(trained.model, tmp_path, dataset, "case_0", overlap=0.25)
        before = (tmp_path / "case_0.seg.nrrd").stat().st_mtime_ns
        apply(trained.model, tmp_path, dataset, "case_0", overlap=0.25, overwrite=True)
        assert (tmp_path / "case_0.seg.nrrd").stat().st_mtime_ns > before

    def test_a_corrected_label_map_stays_whatever_is_said(
        self, trained: JobFolder, dataset: Path, tmp_path: Path
    ) -> None:
        apply(trained.model, tmp_path, dataset, "case_0")
        file = tmp_path / "case_0.seg.nrrd"
        corrected = sitk.ReadImage(str(file))
        corrected[0, 0, 0] = 5
        sitk.WriteImage(corrected, str(file), useCompression=True)
        content = file.read_bytes()
        with pytest.raises(UsageError, match="changed since"):
            apply(trained.model, tmp_path, dataset, "case_0", overlap=0.25, overwrite=True)
        assert file.read_bytes() == content


def test_two_models_with_maps(trained: JobFolder, dataset: Path, tmp_path: Path) -> None:
    settings = {"models": [str(trained.path)], "tta": True, "probabilities": True, "uncertainty": True}
    events = apply(trained.model, tmp_path, dataset, "case_2", output_format="nii.gz", **settings)
    image = sitk.ReadImage(str(dataset / "images" / "case_2.nii.gz"))
    maps = sorted(tmp_path.glob("probabilities/case_2/*.nii.gz")) + sorted(tmp_path.glob("uncertainty/*.nii.gz"))
    assert len(maps) == 4
    read = [sitk.ReadImage(str(path)) for path in maps]
    for found in read:
        assert Geometry.of(found).disagreements(Geometry.of(image)) == []
        assert found.GetPixelID() == sitk.sitkFloat32
        values = sitk.GetArrayViewFromImage(found)
        assert values.min() >= 0 and values.max() <= 1
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "case_2.nii.gz")))
    liver = sitk.GetArrayViewFromImage(read[0])
    assert liver[labels == 2].mean() > 0.7 > 0.2 > liver[labels != 2].mean()
    assert [event["kind"] for event in events][-1] == "finished"


def test_the_clean_up_of_the_model_is_used_unless_refused(trained: JobFolder, dataset: Path, tmp_path: Path) -> None:
    package = load_package(trained.model)
    assert [item["name"] for item in package.postprocessing] in ([], list(package.plan.class_names))
    everything = {"value": 2, "name": "liver", "minimum_size_mm3": 1e9}  # so that nothing of it can stay
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.safetensors").write_bytes((trained.model / "weights.safetensors").read_bytes())
    save_description(replace(package, postprocessing=[everything]), model)
    told = apply(model, tmp_path / "a", dataset, "case_0")
    apply(model, tmp_path / "b", dataset, "case_0", postprocess=False)
    one, other = (
        set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name / "case_0.seg.nrrd")))).tolist())
        for name in "ab"
    )
    assert (one, other) == ({0, 5}, {0, 2, 5})
    assert "liver: pieces below 1e+09 mm3 removed" in json.dumps([e for e in told if e["kind"] == "stage"])
