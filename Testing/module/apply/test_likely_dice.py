import json

import pytest
from MedSegTrainerUI.apply.likely_dice import (
    ClassResult,
    Likely,
    by_likely,
    interval_text,
    likely_cells,
    likely_tip,
    look_text,
    read_results,
    recall_likely,
    remember_likely,
)

from MedSegTrainerLib.errors import JobError


def case(name, dice=None, *classes, error=""):
    low, high = (None, None) if dice is None else (round(dice - 0.1, 2), round(min(1, dice + 0.1), 2))
    return {
        "name": name, "label_map": f"{name}.seg.nrrd", "image": f"/in/{name}.nii.gz", "warnings": [], "error": error,
        "likely_dice": dice, "low": low, "high": high, "classes": list(classes),
    }  # fmt: skip


def of_class(name, dice, low=None, high=None):
    return {"name": name, "likely_dice": dice, "low": low, "high": high, "volume_ml": 12.5}


def write(folder, *cases):
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"schema_version": 1, "cases": list(cases)}))
    return folder


def test_failed_ones_come_first_then_the_worst_and_last_what_nobody_knows(tmp_path):
    folder = write(tmp_path, case("good", 0.9), case("old"), case("bad", 0.4), case("broken", error="It is damaged."))
    results = read_results(folder)
    assert [one.name for one in results] == ["broken", "bad", "good", "old"]
    assert results[0].error == "It is damaged." and results[1].label_map == folder / "bad.seg.nrrd"


@pytest.mark.parametrize(
    "content", ["[]", '{"cases": 5}', '{"cases": [{"name": "a"}]}', '{"cases": [7]}', "no json",
                json.dumps({"cases": [{**case("a", 0.5), "low": "much"}]}),
                json.dumps({"cases": [{**case("a", 0.5), "likely_dice": True}]})]
)  # fmt: skip
def test_what_is_no_such_file_is_one_message(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(JobError, match=r"results\.json"):
        read_results(tmp_path)


def test_it_is_saved_with_the_segmentation(tmp_path, scene):
    (one,) = read_results(write(tmp_path, case("a", 0.71, of_class("liver", 0.9, 0.8, 0.95), of_class("tumor", 0.5))))
    assert one.classes[0] == ClassResult(name="liver", likely=Likely(dice=0.9, low=0.8, high=0.95), volume_ml=12.5)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    remember_likely(node, one)
    likely, classes = recall_likely(node)
    assert likely == Likely(dice=0.71, low=0.61, high=0.81)
    assert classes == {"liver": Likely(dice=0.9, low=0.8, high=0.95), "tumor": Likely(dice=0.5)}
    node.SetAttribute("MedSegTrainer.likelyDice", '{"likely": {}}')
    assert recall_likely(node) == (Likely(), {}), "of another version"


def test_nothing_is_kept_where_nobody_knows(tmp_path, scene):
    (one,) = read_results(write(tmp_path, case("a")))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    remember_likely(node, one)
    assert node.GetAttribute("MedSegTrainer.likelyDice") is None and recall_likely(node) == (Likely(), {})


LIVER, TUMOR = Likely(dice=0.93, low=0.9, high=0.95), Likely(dice=0.55, low=0.3, high=0.7)


@pytest.mark.parametrize(
    ("likely", "classes", "words", "severity"),
    [
        (Likely(dice=0.6), {"liver": Likely(dice=0.6, low=0.4)}, "look at this one: probably below 0.7", "error"),
        (Likely(dice=0.74), {"liver": LIVER, "tumor": TUMOR}, "look at this one: tumor probably below 0.7", "error"),
        (Likely(dice=0.55), {"a": TUMOR, "b": TUMOR}, "look at this one: probably below 0.7", "error"),
        (Likely(dice=0.8, low=0.65, high=0.9), {}, "perhaps below 0.7", "warning"),
        (Likely(dice=0.93, low=0.9, high=0.95), {"liver": LIVER}, "probably good", ""),
        (Likely(), {}, "not known", "note"),
    ],
)  # fmt: skip
def test_words(likely, classes, words, severity):
    assert look_text(likely, classes) == (words, severity)


def test_numbers_and_their_interval():
    assert interval_text(TUMOR) == "0.55 (0.30\N{EN DASH}0.70)" and interval_text(Likely(dice=0.5)) == "0.50"
    assert interval_text(Likely()) == ""
    number, words = likely_cells(TUMOR, {"tumor": TUMOR})
    assert number.text == "0.55" and number.dot == (198, 40, 50) and "probably below" in words.text
    assert "tumor: 0.55 (0.30" in number.tip and "earlier version" in likely_tip(Likely(), {})


def test_the_worst_is_first(scene, tmp_path):
    nodes = []
    for dice in (0.9, None, 0.4):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        remember_likely(node, read_results(write(tmp_path, case("a", dice)))[0])
        nodes.append(node)
    assert by_likely(nodes) == [nodes[2], nodes[0], nodes[1]]
