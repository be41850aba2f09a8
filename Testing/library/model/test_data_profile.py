"""What a training remembers of its images, and in what others are unlike them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.plan import Normalization, Plan
from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.checks.case_statistics import CaseStatistics
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.model.data_profile import combine, describe, plane_of, unlike_text, unlike_training

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
OLDER = ("name", "lowest", "highest", "median_low", "median_high")  # what models remembered of a channel
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # the third axis of the file runs along x


def scan(size: tuple[int, int, int], spacing: tuple[float, float, float], low: float, high: float) -> CaseScan:
    stats = CaseStatistics(
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
        high=(high,), voxels={}, stats=stats,
    )  # fmt: skip


@pytest.fixture
def profile() -> dict[str, Any]:
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


def test_what_is_remembered_of_the_cases(profile: dict[str, Any]) -> None:
    assert profile["cases"] == 2
    assert profile["spacing_mm"] == [[2.5, 1.5, 1.0], [2.75, 1.5, 1.1], [3.0, 1.5, 1.2]]
    assert profile["size_voxels"] == [[10, 16, 20], [11, 18, 22], [12, 20, 24]]
    assert profile["extent_mm"][2] == [30, 30, 28.8]
    assert profile["planes"] == {"axial": 2}
    assert profile["channels"] == [
        {
            "name": "MR", "lowest": 0, "highest": 180, "median_low": 5, "median_high": 140,
            "highest_low": 10, "lowest_high": 100, "narrowest": 100,
        }
    ]  # fmt: skip


def test_scans_without_traits_tell_nothing() -> None:
    assert describe([replace(scan((9, 8, 7), (1, 1, 1), 0, 1), stats=None)], ["MR"]) == {}
    assert describe([], []) == {}


def test_an_image_like_those_of_the_training(profile: dict[str, Any], tiny_plan: Plan) -> None:
    assert unlike_training([volume()], tiny_plan, profile) == []


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
def test_each_thing_is_told(profile: dict[str, Any], tiny_plan: Plan, image: sitk.Image, phrase: str) -> None:
    phrases = unlike_training([image], tiny_plan, profile)
    assert any(text.startswith(phrase) for text in phrases), phrases


def test_the_scale_of_ct_forgives_less_than_one_that_is_taken_from_each_image(
    profile: dict[str, Any], tiny_plan: Plan
) -> None:
    ct = replace(tiny_plan, normalization=(Normalization(method="ct"),))
    assert unlike_training([volume(high=300)], tiny_plan, profile) == []
    assert len(unlike_training([volume(high=300)], ct, profile)) == 1


CT = Normalization(method="ct", low=-100, high=300, mean=60, std=80)


@pytest.fixture
def hounsfield() -> dict[str, Any]:
    """A part of a body, two whole ones, and one with metal in it."""
    ranges = [(-150, 400), (-1000, 900), (-1024, 1200), (-1024, 2600)]
    return describe([scan((20, 16, 10), (1.0, 1.5, 3.0), *pair) for pair in ranges], ["CT"])


def ct_volume(low: float, high: float) -> sitk.Image:
    image = Geometry(size=(22, 18, 11), spacing=(1.1, 1.5, 2.8)).place(
        np.linspace(low, high, 22 * 18 * 11, dtype=np.float32).reshape(11, 18, 22)
    )
    return image


@pytest.mark.parametrize("is_older", [False, True])
@pytest.mark.parametrize("low, high", [(0, 1), (0, 255), (-1, 1), (-2, 3), (0, 2000), (24, 2200), (-1.0, 2.6), (7, 7)])
def test_a_ct_in_other_units_is_told(
    hounsfield: dict[str, Any], tiny_plan: Plan, low: float, high: float, is_older: bool
) -> None:
    plan = replace(tiny_plan, normalization=(CT,))
    if is_older:
        hounsfield["channels"] = [{key: hounsfield["channels"][0][key] for key in OLDER}]
    (phrase,) = unlike_training([ct_volume(low, high)], plan, hounsfield)
    assert "hardly Hounsfield units" in phrase and "(training: -1024 to 2600)" in phrase


@pytest.mark.parametrize("low, high", [(-150, 400), (-1000, 300), (-120, 250), (-1024, 3000), (-500, 500)])
def test_a_part_of_a_body_is_not(hounsfield: dict[str, Any], tiny_plan: Plan, low: float, high: float) -> None:
    assert unlike_training([ct_volume(low, high)], replace(tiny_plan, normalization=(CT,)), hounsfield) == []


def test_a_model_that_remembers_nothing_still_knows_where_a_ct_has_contrast(tiny_plan: Plan) -> None:
    plan = replace(tiny_plan, normalization=(CT,))
    (phrase,) = unlike_training([ct_volume(0, 1)], plan, {})
    assert phrase.startswith("next to no contrast from -100 to 300")
    assert unlike_training([ct_volume(-1000, 500)], plan, {}) == []
    assert unlike_training([ct_volume(7, 7)], tiny_plan, {}) == ["one intensity, 7, nearly everywhere"]


def test_what_is_scaled_by_itself_is_told_only_where_it_is_far_narrower(
    profile: dict[str, Any], tiny_plan: Plan
) -> None:
    assert unlike_training([volume(high=25)], tiny_plan, profile) == []
    assert len(unlike_training([ct_volume(0, 1)], tiny_plan, profile)) == 1


def test_older_models_and_later_forms_are_silent(tiny_plan: Plan) -> None:
    odd = volume(high=1e6, spacing=(9, 9, 9))
    assert unlike_training([odd], tiny_plan, {}) == []
    assert unlike_training([odd], tiny_plan, {"schema_version": 99}) == []


def test_words_name_the_image() -> None:
    assert unlike_text("a", []) is None
    assert unlike_text("a", ["sagittal slices"]) == (
        "a is unlike the training images: it has sagittal slices. Look at the result with care."
    )


def test_members_together_have_seen_what_any_has_seen(profile: dict[str, Any]) -> None:
    other = describe([scan((30, 10, 8), (1.0, 1.0, 4.0), -50, 90)], ["MR"])
    both = combine([profile, other])
    assert both["spacing_mm"][0] == [2.5, 1.0, 1.0] and both["spacing_mm"][2] == [4.0, 1.5, 1.2]
    channel = both["channels"][0]
    assert (channel["lowest"], channel["highest"]) == (-50, 180)
    assert (channel["highest_low"], channel["lowest_high"], channel["narrowest"]) == (10, 90, 100)
    older = {**profile, "channels": [{key: profile["channels"][0][key] for key in OLDER}]}
    assert combine([profile, older])["channels"][0].keys() == set(OLDER)
    assert combine([profile, {}]) == {} and combine([]) == {}


def test_planes() -> None:
    assert plane_of(AXIAL) == "axial"
    assert plane_of(SAGITTAL) == "sagittal"
    assert plane_of((1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)) == "coronal"
