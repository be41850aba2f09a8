"""Channels that are label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.checks.case_statistics import label_overlap
from MedSegTrainerLib.data.checks.scan import examine_cases
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.geometry import Geometry

GEOMETRY = Geometry(size=(12, 10, 8), spacing=(0.7, 1.1, 3.0), origin=(12.0, -30.0, 5.0))
MASK = np.zeros(GEOMETRY.size_zyx, np.uint8)
MASK[2:6, 3:8, 4:9] = 1
RATER = np.roll(MASK, 1, axis=2)
BODY = np.zeros_like(MASK)
BODY[:, 1:9, 1:11] = 1


def examined(tmp_path: Path, channels: dict[str, np.ndarray]) -> list[Finding]:
    for number in range(3):
        folder = tmp_path / f"case_{number}"
        folder.mkdir()
        image = np.random.default_rng(number).normal(100, 20, MASK.shape).astype(np.int16)
        for name, array in {"t1": image, "mask": MASK, **channels}.items():
            sitk.WriteImage(GEOMETRY.place(array), str(folder / f"{name}.nii.gz"))
    findings = examine_cases(find_cases(tmp_path, DataConfig()).cases, num_workers=1).findings
    return [finding for finding in findings if "label map" in finding.kind and "same" not in finding.kind]


@pytest.mark.parametrize(
    "channel", [RATER, RATER * 255, MASK + RATER, (MASK + RATER).astype(np.float32)],
    ids=["a second rater", "in white", "a sum of raters", "as floats"],
)  # fmt: skip
def test_one_that_matches_is_an_error_with_its_file(tmp_path: Path, channel: np.ndarray) -> None:
    [finding] = examined(tmp_path, {"rater2": channel})
    assert finding.severity == "error"
    assert "rater2.nii.gz of case_0" in finding.message
    assert finding.remedy == """Leave it out by naming the others: --set 'image_names=["t1"]'"""


def test_one_that_lies_elsewhere_is_a_warning(tmp_path: Path) -> None:
    [finding] = examined(tmp_path, {"body": BODY})
    assert (finding.severity, "body.nii.gz" in finding.message) == ("warning", True)


def test_images_pass(tmp_path: Path) -> None:
    assert examined(tmp_path, {"t2": np.random.default_rng(9).normal(0, 1, MASK.shape)}) == []


def test_overlap() -> None:
    assert label_overlap(MASK, MASK.ravel(), MASK > 0) == 1.0
    assert label_overlap(RATER, RATER.ravel(), MASK > 0) == pytest.approx(0.8)
    assert label_overlap(MASK * 0.5, MASK.ravel() * 0.5, MASK > 0) is None
    assert label_overlap(MASK * 0, MASK.ravel() * 0, MASK > 1) is None
