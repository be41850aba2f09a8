"""From DICOM folders with 3D Slicer's segmentations to a model, its report, and its label map of a new series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk

from MedSegTrainerLib.api import apply
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map
from MedSegTrainerLib.imaging.read import read_file
from MedSegTrainerLib.imaging.seg_nrrd import read_header
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.model.package import load_package

# values of liver and cyst; p1 is held out
NAMES = {"p1_a": (5, 2), "p1_b": (2, 5), "p2_a": (1, 2), "p2_b": (2, 5), "p3_a": (2, 5)}
SETTINGS = ("patient_pattern=^(p[0-9])_", "epochs=3", "samples_per_volume=12", "tensorboard=false")


def test_whole_way(
    write_series: Callable[..., Path],
    config_for: Callable[..., TrainConfig],
    patient: Callable[..., tuple[sitk.Image, sitk.Image]],
    tmp_path: Path,
) -> None:
    """The values behind the names differ, and the segmentations are cut to their labelled box."""
    for index, (name, values) in enumerate(NAMES.items()):
        image, label = patient(index, (5, -4, 3 * index), (30, 26, 22), (1.5, 1.75, 2.0))
        case = write_series(image, tmp_path / "data" / name)
        classes = [
            LabelClass(value=value, name=word, color=(9, 9, 40 * value), terminology=f"a {word}")
            for value, word in zip(values, ("liver", "cyst"), strict=True)
        ]
        renamed = sitk.ChangeLabel(label, {2: values[0], 5: values[1]})
        x, y, z, width, height, depth = box_of(label)
        write_label_map(renamed[x : x + width, y : y + height, z : z + depth], case / "my.seg.nrrd", classes)
    job = JobFolder(tmp_path / "job")
    job.create(config_for(f"data.data_dir={tmp_path / 'data'}", *SETTINGS))
    run_job(job.path)

    package = load_package(job.model)
    assert [(item.name, item.value, item.terminology) for item in package.plan.classes] == [
        ("liver", 2, "a liver"), ("cyst", 5, "a cyst"),
    ]  # fmt: skip
    assert package.metrics["validation_cases"] == ["p1_a", "p1_b"]
    dice = {name: values["dice"]["mean"] for name, values in package.metrics["summary"].items()}
    assert dice["liver"] > 0.7

    (found,) = apply(str(job.path), [str(tmp_path / "data" / "p2_a")], str(tmp_path / "out"))
    result = read_file(Path(found))
    assert Path(found).name == "p2_a.seg.nrrd"
    assert Geometry.of(result).disagreements(Geometry.of(read_file(tmp_path / "data" / "p2_a"))) == []
    assert [segment.item.value for segment in read_header(Path(found))] == [2, 5]


def box_of(label: sitk.Image) -> tuple[int, ...]:
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(label > 0, sitk.sitkUInt8))
    return tuple(shape.GetBoundingBox(1))
