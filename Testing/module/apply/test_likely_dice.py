import pytest
from MedSegTrainerUI.apply.likely_dice import (
    UNKNOWN,
    by_likely,
    class_of,
    file_stamp,
    interval_text,
    likely_cells,
    likely_tip,
    look_text,
    recall_likely,
    remember_likely,
)

from MedSegTrainerLib.results_file import CaseResult, ClassResult

LIVER = ClassResult(name="liver", likely_dice=0.93, low=0.9, high=0.95, volume_ml=1400.0)
TUMOR = ClassResult(name="tumor", likely_dice=0.55, low=0.3, high=0.7)


def case(dice=None, *classes, low=None, high=None):
    return CaseResult(name="a", likely_dice=dice, low=low, high=high, classes=list(classes))


@pytest.fixture
def node(scene):
    return scene.AddNewNodeByClass("vtkMRMLSegmentationNode")


def test_it_is_saved_with_the_segmentation(node):
    one = case(0.71, LIVER, TUMOR, low=0.6, high=0.8)
    remember_likely(node, one)
    assert recall_likely(node) == one and class_of(recall_likely(node), "tumor") == TUMOR
    assert class_of(one, "spleen") == ClassResult(name="spleen")


@pytest.mark.parametrize("text", ["{}", "no json", '{"name": "a", "likely_dice": "much"}', "[3]"])
def test_what_another_version_wrote_is_not_known(node, text):
    node.SetAttribute("MedSegTrainer.likelyDice", text)
    assert recall_likely(node) == UNKNOWN


def test_nothing_is_kept_where_nobody_knows(node):
    remember_likely(node, case(0.5))
    remember_likely(node, case())
    assert node.GetAttribute("MedSegTrainer.likelyDice") is None and recall_likely(node) == UNKNOWN


@pytest.mark.parametrize(
    ("one", "words", "severity"),
    [
        (case(0.62, ClassResult(name="liver", likely_dice=0.62)), "look at this one: probably below 0.7", "error"),
        (case(0.74, LIVER, TUMOR), "look at this one: tumor probably below 0.6", "error"),
        (case(0.55, TUMOR, TUMOR), "look at this one: probably below 0.6", "error"),
        (case(0.8, low=0.65, high=0.9), "perhaps below 0.7", "warning"),
        (case(0.93, LIVER, low=0.9, high=0.95), "probably good", ""),
        (case(), "not known", "note"),
    ],
)
def test_words(one, words, severity):
    assert look_text(one) == (words, severity)


def test_numbers_and_their_interval():
    assert interval_text(TUMOR) == "0.55 (0.30\N{EN DASH}0.70)" and interval_text(case()) == ""
    assert interval_text(ClassResult(name="liver", likely_dice=0.5)) == "0.50"
    number, words = likely_cells(case(0.55, TUMOR, low=0.3, high=0.7))
    assert number.text == "0.55" and number.dot == (198, 40, 50) and "probably below" in words.text
    assert "tumor: 0.55 (0.30" in number.tip and "earlier version" in likely_tip(case())
    assert likely_cells(case())[0].dot is None
    assert "liver: 0.93 (0.90\N{EN DASH}0.95), 1400 ml" in likely_tip(case(0.93, LIVER))
    assert likely_tip(case(None, ClassResult(name="liver", volume_ml=2.5))).endswith("\nliver: 2.5 ml")


def test_the_worst_is_first(scene):
    nodes = [scene.AddNewNodeByClass("vtkMRMLSegmentationNode") for _dice in range(3)]
    for one, dice in zip(nodes, (0.9, None, 0.4), strict=True):
        remember_likely(one, case(dice))
    assert by_likely(nodes) == [nodes[2], nodes[0], nodes[1]]


def test_a_file_that_is_written_again_has_another_stamp(tmp_path):
    file = tmp_path / "results.json"
    assert file_stamp(file) is None
    file.write_text("{}")
    before = file_stamp(file)
    file.write_text("{ }")
    assert before is not None and file_stamp(file) != before
