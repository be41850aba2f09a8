"""Which class names tell a side, and what a mirror image would do to them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.checks.case_statistics import take_statistics
from MedSegTrainerLib.data.checks.laterality import left_right_pair, one_sided_name, opposite_sides, why_not_mirror
from MedSegTrainerLib.imaging.geometry import Geometry

PAIRS = [
    ("left kidney", "right kidney"),
    ("kidney left", "kidney right"),
    ("kidney_left", "kidney_right"),
    ("lung_upper_lobe_left", "lung_upper_lobe_right"),
    ("kidney_L", "kidney_R"),
    ("renal_l", "renal_r"),
    ("L lung", "R lung"),
    ("Lt. lung", "Rt. lung"),
    ("LT KIDNEY", "RT KIDNEY"),
    ("lungLeft", "lungRight"),
    ("LeftKidney", "RightKidney"),
    ("LKidney", "RKidney"),
    ("kidneyL", "kidneyR"),
    ("leftkidney", "rightkidney"),
    ("LEFTKIDNEY", "RIGHTKIDNEY"),
    ("kidney (left)", "kidney (right)"),
    ("left-sided lesion", "right-sided lesion"),
    ("rib 4 left", "rib 4 right"),
    ("rib_L4", "rib_R4"),
    ("ctx-lh-insula", "ctx-rh-insula"),
    ("left kidney", "Kidney_R"),
    ("linke Niere", "rechte Niere"),
    ("Niere li", "Niere re"),
    ("rein gauche", "rein droit"),
    ("arteria renalis sinistra", "arteria renalis dextra"),
    ("ren sinister", "ren dexter"),
    ("rene sinistro", "rene destro"),
    ("riñón izquierdo", "riñón derecho"),
    ("左肾", "右肾"),
    ("Left", "Right"),
]
NO_SIDE = [
    "liver", "lung upper lobe", "blood", "upper_lip", "lower lip", "cleft palate", "bright lesion", "lens", "rectum",
    "L5", "vertebrae_L1", "vertebra L 1", "T1", "Anterior", "Posterior", "l", "R", "leftover tissue", "ring", "sinus",
    "os sacrum", "RV", "LV", "tumour", "4", "",
]  # fmt: skip
ONE_SIDE = [
    "left atrium", "Kidney right", "kidney_L", "R lung", "Lt. lung", "LeftKidney", "kidneyR", "ren dexter", "左肾",
    "rechte Niere", "lung_upper_lobe_left", "lesion 2 (right)", "rib_4_R",
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_pairs_are_found_in_any_order_among_others(left: str, right: str) -> None:
    assert left_right_pair(["liver", left, "lung upper lobe", right]) == (left, right)
    assert left_right_pair([right, "blood", left]) == (left, right)
    assert left_right_pair([left, "liver"]) is None
    assert left_right_pair([right]) is None


@pytest.mark.parametrize(
    "names",
    [
        NO_SIDE,
        ["left kidney", "right lung"],
        ["left atrium", "liver"],
        ["kidney left", "kidney left 2"],
        ["kidney 1 left", "kidney 2 right"],
        ["upper left lip", "lower right lip"],
        [],
    ],
)
def test_what_differs_otherwise_is_no_pair(names: list[str]) -> None:
    assert left_right_pair([name for name in names if name not in ("l", "R")]) is None


def test_letters_alone_are_a_pair_where_both_are_there() -> None:
    assert left_right_pair(["L", "R"]) == ("L", "R")


@pytest.mark.parametrize("name", ONE_SIDE)
def test_one_side_is_told_by_its_name(name: str) -> None:
    assert one_sided_name(["liver", name]) == name


@pytest.mark.parametrize("name", NO_SIDE)
def test_names_without_a_side(name: str) -> None:
    assert one_sided_name([name]) is None
    assert why_not_mirror([name]) is None


def test_the_words_name_the_classes() -> None:
    assert why_not_mirror(["L kidney", "R kidney"]) == "mirroring would turn 'L kidney' into 'R kidney'"
    reason = why_not_mirror(["liver", "left kidney"])
    assert reason == "'left kidney' lies on one side, and mirroring would move it to the other"


class TestOppositeSides:
    """Boxes in volumes that are not cubic, with voxels of 3 x 1.5 x 0.5 mm (z, y, x)."""

    NAMES: ClassVar = {1: "one", 2: "two"}

    def scan(self, drawn: tuple[str, ...] | None = None, **boxes: Any) -> CaseScan:
        """``one`` and ``two``: slices (z, y, x) of the boxes."""
        label = np.zeros((6, 12, 30), np.uint8)
        for value, name in self.NAMES.items():
            if name in boxes:
                label[boxes[name]] = value
        chosen = np.flatnonzero(label.ravel())
        direction = (1, 0, 0, 0, 1, 0, 0, 0, 1)
        return CaseScan(
            name="case", geometry=Geometry(size=(30, 12, 6), spacing=(0.5, 1.5, 3)), foreground=np.zeros((1, 1)),
            low=(0.0,), high=(2.0,), voxels={}, drawn=drawn,
            stats=take_statistics([label.astype(np.float32)], label, chosen, (3, 1.5, 0.5), direction),
        )  # fmt: skip

    def beside(self, shift: int = 0) -> CaseScan:
        return self.scan(one=np.s_[1:4, 2:9, 2 + shift : 10 + shift], two=np.s_[1:4, 3:8, 14 + shift : 22 + shift])

    def exchanged(self) -> CaseScan:
        return self.scan(two=np.s_[1:4, 2:9, 2:10], one=np.s_[1:4, 3:8, 14:22])

    def test_along_any_axis(self) -> None:
        sides = opposite_sides([self.beside(shift) for shift in range(5)], self.NAMES)
        assert sides == {2: "'one' and 'two' lie on opposite sides along x in 5 of 5 cases"}
        above = self.scan(one=np.s_[0:2, 2:9, 5:20], two=np.s_[3:6, 2:9, 5:20])
        assert set(opposite_sides([above], self.NAMES)) == {0}

    def test_touching_counts(self) -> None:
        touching = self.scan(one=np.s_[1:4, 2:9, 2:10], two=np.s_[1:4, 2:9, 10:18])
        assert set(opposite_sides([touching] * 3, self.NAMES)) == {2}

    def test_one_within_the_other_does_not(self) -> None:
        nested = self.scan(one=np.s_[1:5, 2:10, 4:24], two=np.s_[2:4, 4:7, 7:12])
        assert opposite_sides([nested] * 3, self.NAMES) == {}

    def test_now_here_now_there_does_not(self) -> None:
        assert opposite_sides([self.beside(), self.exchanged(), self.beside()], self.NAMES) == {}

    def test_a_case_of_many_may_differ(self) -> None:
        assert set(opposite_sides([*[self.beside()] * 9, self.exchanged()], self.NAMES)) == {2}

    def test_too_few_cases_with_both(self) -> None:
        """One of many is chance; where there is but one it is all that is known."""
        alone = self.scan(one=np.s_[1:4, 2:9, 2:10])
        assert opposite_sides([self.beside(), alone, alone, alone], self.NAMES) == {}
        assert set(opposite_sides([self.beside()], self.NAMES)) == {2}

    def test_cases_in_which_a_class_was_not_drawn_say_nothing(self) -> None:
        """Else one that was drawn in a single case would look as if it lay nowhere in the others."""
        alone = self.scan(one=np.s_[1:4, 2:9, 2:10], drawn=("one",))
        sides = opposite_sides([self.beside(), alone, alone, alone], self.NAMES)
        assert sides == {2: "'one' and 'two' lie on opposite sides along x in 1 of 1 cases"}
        slip = self.scan(two=np.s_[1:4, 2:9, 2:10], one=np.s_[1:4, 3:8, 14:22], drawn=("one",))
        assert opposite_sides([self.beside(), slip, slip], self.NAMES) == sides

    def test_nothing_to_compare(self) -> None:
        assert opposite_sides([], self.NAMES) == {} == opposite_sides([self.beside()], {1: "one"})
