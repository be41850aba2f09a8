"""Which class names tell a side, and what a mirror image would do to them."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.sides import left_right_pair, one_sided_name, why_not_mirror

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
    told = why_not_mirror(["liver", "left kidney"])
    assert told == "'left kidney' lies on one side, and mirroring would move it to the other"
