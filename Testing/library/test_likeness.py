"""What a training remembers of its images, and in what others are unlike them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.data.normalize import Normalization
from MedSegTrainerLib.data.scan import CaseScan
from MedSegTrainerLib.data.traits import CaseTraits
from MedSegTrainerLib.geometry import Geometry
from MedSegTrainerLib.likeness import combine, describe, plane_of, unlike_training, unlike_words
from MedSegTrainerLib.plan import Plan

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # the third axis of the file runs along x


def scan(size: tuple[int, int, int], spacing: tuple[float, float, float], low: float, high: float) -> CaseScan:
    traits = CaseTraits(
        image_digest="",
        label_digest="",
        direction=AXIAL,
        ranges=((low, high),),
        dark=0,
        padded=0,
        levels={},
        centers={},
    )
    return CaseScan(
        name="case", geometry=Geometry(size=size, spacing=spacing), foreground=np.zeros((1, 1)), low=(low,),
        high=(high,), voxels={}, traits=traits,
    )  # fmt: skip


@pytest.fixture
def known() -> dict[str, Any]:
    scans = [scan((20, 16, 10), (1.0, 1.5, 3.0), 0, 100), scan((24, 20, 12), (1.2, 1.5, 2.5), 10, 180)]
    return describe(scans, ["MR"])


def volume(
    size: tuple[int, int, int] = (22, 18, 11),
    spacing: tuple[float, float, float] = (1.1, 1.5, 2.8),
    direction: tuple[float, ...] = AXIAL,
    high: float = 150,
) -> sitk.Image:
    grid = Geometry(size=size, spacing=spacing, direction=direction)
    return grid.place(np.linspace(5, high, int(np.prod(size)), dtype=np.float32).reshape(grid.size_zyx))


def test_what_is_remembered_of_the_cases(known: dict[str, Any]) -> None:
    assert known["cases"] == 2
    assert known["spacing_mm"] == [[2.5, 1.5, 1.0], [2.75, 1.5, 1.1], [3.0, 1.5, 1.2]]
    assert known["size_voxels"] == [[10, 16, 20], [11, 18, 22], [12, 20, 24]]
    assert known["extent_mm"][2] == [30, 30, 28.8]
    assert known["planes"] == {"axial": 2}
    assert known["channels"] == [{"name": "MR", "lowest": 0, "highest": 180, "median_low": 5, "median_high": 140}]


def test_scans_without_traits_tell_nothing() -> None:
    assert describe([replace(scan((9, 8, 7), (1, 1, 1), 0, 1), traits=None)], ["MR"]) == {}
    assert describe([], []) == {}


def test_an_image_like_those_of_the_training(known: dict[str, Any], tiny_plan: Plan) -> None:
    assert unlike_training([volume()], tiny_plan, known) == []


@pytest.mark.parametrize(
    "image, phrase",
    [
        (volume(spacing=(1.1, 1.5, 5.0), size=(22, 18, 6)), "voxels of 5 x 1.5 x 1.1 mm (training: 2.5 to 3 x 1.5 x"),
        (volume(size=(60, 18, 11)), "a field of view of 30.8 x 27 x 66 mm (training: 30 x 24 to 30 x 20 to 28.8 mm"),
        (volume((22, 18, 11), (1.5, 2.8, 1.1), SAGITTAL), "sagittal slices (training: axial)"),
        (volume(high=600), "intensities from 7.975 to 597 (training: 0 to 180)"),
    ],
    ids=["spacing", "size", "orientation", "intensities"],
)
def test_each_thing_is_told(known: dict[str, Any], tiny_plan: Plan, image: sitk.Image, phrase: str) -> None:
    told = unlike_training([image], tiny_plan, known)
    assert any(text.startswith(phrase) for text in told), told


def test_the_scale_of_ct_forgives_less_than_one_that_is_taken_from_each_image(
    known: dict[str, Any], tiny_plan: Plan
) -> None:
    ct = replace(tiny_plan, normalization=(Normalization(method="ct"),))
    assert unlike_training([volume(high=300)], tiny_plan, known) == []
    assert len(unlike_training([volume(high=300)], ct, known)) == 1


def test_older_models_and_later_forms_are_silent(tiny_plan: Plan) -> None:
    odd = volume(high=1e6, spacing=(9, 9, 9))
    assert unlike_training([odd], tiny_plan, {}) == []
    assert unlike_training([odd], tiny_plan, {"schema_version": 99}) == []


def test_words_name_the_image() -> None:
    assert unlike_words("a", []) is None
    assert unlike_words("a", ["sagittal slices"]) == (
        "a is unlike the training images: it has sagittal slices. Look at the result with care."
    )


def test_members_together_have_seen_what_any_has_seen(known: dict[str, Any]) -> None:
    other = describe([scan((30, 10, 8), (1.0, 1.0, 4.0), -50, 90)], ["MR"])
    both = combine([known, other])
    assert both["spacing_mm"][0] == [2.5, 1.0, 1.0] and both["spacing_mm"][2] == [4.0, 1.5, 1.2]
    assert (both["channels"][0]["lowest"], both["channels"][0]["highest"]) == (-50, 180)
    assert combine([known, {}]) == {} and combine([]) == {}


def test_planes() -> None:
    assert plane_of(AXIAL) == "axial"
    assert plane_of(SAGITTAL) == "sagittal"
    assert plane_of((1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)) == "coronal"
