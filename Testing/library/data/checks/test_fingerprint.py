"""The sum of the scans, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.checks.fingerprint import ChannelIntensities, take_fingerprint
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry


def dataset(label_names: dict[int, str] | None = None, channel_names: tuple[str, ...] = ()) -> Dataset:
    return Dataset(
        root=Path("data"), layout="test", cases=(), label_names=label_names or {}, channel_names=channel_names
    )


@pytest.fixture
def scans() -> list[CaseScan]:
    """Two channels; class 5 in both cases, class 2 only in the second, voxels of 2 and of 12 mm3."""
    return [
        CaseScan(
            name="a", geometry=Geometry(size=(10, 8, 5), spacing=(1.0, 0.5, 4.0)),
            foreground=np.array([[0.0, 10.0], [-900.0, 0.0]], np.float32),
            low=(-5.0, -1000.0), high=(50.0, 100.0), voxels={0: 390, 5: 10},
        ),
        CaseScan(
            name="b", geometry=Geometry(size=(10, 20, 3), spacing=(2.0, 2.0, 3.0)),
            foreground=np.array([[20.0, 30.0], [100.0, 400.0]], np.float32),
            low=(0.0, -200.0), high=(40.0, 1200.0), voxels={0: 560, 2: 20, 5: 20},
        ),
    ]  # fmt: skip


class TestTakeFingerprint:
    def test_grids_are_zyx(self, scans: list[CaseScan]) -> None:
        fingerprint = take_fingerprint(dataset(), scans)
        assert (fingerprint.cases, fingerprint.dims) == (2, 3)
        assert fingerprint.sizes.tolist() == [[5, 8, 10], [3, 20, 10]]
        assert fingerprint.spacings.tolist() == [[4, 0.5, 1], [3, 2, 2]]

    def test_classes(self, scans: list[CaseScan]) -> None:
        fingerprint = take_fingerprint(dataset(), scans)
        assert [(item.value, item.name) for item in fingerprint.classes] == [(2, "label 2"), (5, "label 5")]
        assert fingerprint.cases_with == {"label 2": 1, "label 5": 2}
        assert fingerprint.voxel_share == {"label 2": 0.02, "label 5": 0.03}
        assert fingerprint.median_volume_mm3 == {"label 2": 20 * 12, "label 5": (10 * 2 + 20 * 12) / 2}

    def test_named_classes_without_voxels_stay(self, scans: list[CaseScan]) -> None:
        result = take_fingerprint(dataset({2: "cyst", 5: "kidney", 9: "tumor"}), scans)
        assert [item.name for item in result.classes] == ["cyst", "kidney", "tumor"]
        assert result.cases_with["tumor"] == result.voxel_share["tumor"] == result.median_volume_mm3["tumor"] == 0

    def test_shares_and_volumes_are_of_the_cases_in_which_a_class_was_drawn(self, scans: list[CaseScan]) -> None:
        """Of the kidney only the second case tells; what the first has of it counts nowhere."""
        names = {2: "cyst", 5: "kidney"}
        partly = [replace(scans[0], drawn=("cyst",)), scans[1]]
        fingerprint = take_fingerprint(dataset(names), partly)
        assert fingerprint.cases_drawn == {"cyst": 2, "kidney": 1}
        assert fingerprint.cases_with == {"cyst": 1, "kidney": 1}
        assert fingerprint.voxel_share == {"cyst": 20 / 1000, "kidney": 20 / 600}
        assert fingerprint.median_volume_mm3 == {"cyst": 20 * 12, "kidney": 20 * 12}

    def test_sets_of_classes_that_nobody_looked_for_are_those_of_all_cases(self, scans: list[CaseScan]) -> None:
        """Of cases that are in no part of the division, too: a later fold may have them."""
        drawn = [None, ("kidney",), ("kidney", "cyst"), ("tumor", "kidney"), ("kidney",), ()]
        cases = tuple(
            Case(name=str(number), images=(Path("i"),), label=Path("l"), drawn=names)
            for number, names in enumerate(drawn)
        )
        named = dataset({2: "cyst", 5: "kidney", 9: "tumor"})
        found = [
            take_fingerprint(replace(named, cases=order), scans).unknown for order in (cases, cases[::-1], cases[:1])
        ]
        assert found == [((1,), (1, 2, 3), (1, 3), (3,))] * 2 + [()]

    def test_intensities_are_of_all_cases(self, scans: list[CaseScan]) -> None:
        first, second = take_fingerprint(dataset(channel_names=("T1",)), scans).channels
        assert (first.name, second.name) == ("T1", "channel 1")
        assert (first.low, first.high, first.mean) == (-5, 50, 15)
        assert first.std == pytest.approx(np.std([0, 10, 20, 30]))
        assert (first.percentile_00_5, first.percentile_99_5) == pytest.approx((0.15, 29.85))
        assert (second.low, second.high, second.is_ct) == (-1000, 1200, True)

    def test_slices_alone_are_2d(self) -> None:
        geometry = Geometry(size=(10, 8, 1))
        scan = CaseScan(
            name="a", geometry=geometry, foreground=np.ones((1, 3)), low=(0,), high=(1,), voxels={0: 77, 1: 3}
        )
        assert take_fingerprint(dataset(), [scan]).dims == 2

    @pytest.mark.parametrize(
        ("given", "name"), [({}, "foreground"), ({1: "membrane"}, "membrane"), ({255: "cell"}, "cell")]
    )
    def test_0_and_255_are_a_binary_mask(self, scans: list[CaseScan], given: dict[int, str], name: str) -> None:
        masks = [replace(scan, voxels={0: 90, 255: 10}) for scan in scans] + [replace(scans[0], voxels={0: 100})]
        (fingerprint,) = take_fingerprint(dataset(given), masks).classes
        assert (fingerprint.value, fingerprint.name) == (255, name)

    def test_beside_other_values_255_is_a_class_like_any(self, scans: list[CaseScan]) -> None:
        masks = [replace(scans[0], voxels={0: 90, 255: 10}), replace(scans[1], voxels={0: 90, 1: 10})]
        assert [item.name for item in take_fingerprint(dataset(), masks).classes] == ["label 1", "label 255"]
        with pytest.raises(DataError, match=r"^a: Label values \[255\] stand in its label map"):
            take_fingerprint(dataset({1: "a", 2: "b"}), masks)

    def test_what_nobody_labelled_is_no_class_though_it_has_a_name(self, scans: list[CaseScan]) -> None:
        fingerprint = take_fingerprint(dataset({2: "cyst", 5: "kidney", 9: "ignore"}), scans, 9)
        assert [item.name for item in fingerprint.classes] == ["cyst", "kidney"]
        assert fingerprint.ignore_label == 9

    def test_values_that_the_data_set_does_not_name_are_refused(self, scans: list[CaseScan]) -> None:
        with pytest.raises(DataError, match=r"^b: Label values \[2\] stand in its label map"):
            take_fingerprint(dataset({5: "kidney"}), scans)


@pytest.mark.parametrize(
    "name, low, high, expected",
    [("CT", 0, 1, True), (" ct ", 0, 1, True), ("T1", -1000, 2000, True), ("T1", -1000, 200, False),
     ("T1", 0, 2000, False), ("PET-CT", 0, 1, False)],
)  # fmt: skip
def test_is_ct(name: str, low: float, high: float, expected: bool) -> None:
    channel = ChannelIntensities(
        name=name, low=low, high=high, percentile_00_5=0, percentile_99_5=1, mean=0, std=1
    )  # fmt: skip
    assert channel.is_ct is expected


def test_classes_that_overlap_have_shares_that_add_up_to_more(scans: list[CaseScan]) -> None:
    """A voxel counts for each of its classes, and once as a voxel."""
    counts = {0: 300, 0b1: 50, 0b11: 40, 0b10: 10}
    overlapping = [replace(scan, voxels={0: 300, 1: 90, 2: 50}, combinations=counts) for scan in scans]
    data = replace(dataset({1: "organ", 2: "tumor"}), overlapping=True, overlap="as they do")
    result = take_fingerprint(data, overlapping)
    assert result.voxel_share == {"organ": 90 / 400, "tumor": 50 / 400}
    assert result.background_share == 300 / 400
    assert result.combinations == {(1, 2): 80}
    assert (result.overlapping, result.overlap) == (True, "as they do")
