import time

import pytest
from MedSegTrainerUI.jobs.event_text import (
    class_legend,
    compared_text,
    dice_text,
    event_line,
    plan_sentence,
    reasons_table,
    time_text,
    when_text,
)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"kind": "stage", "message": "Training"}, "Training ..."),
        ({"kind": "resumed", "epoch": 4}, "goes on after epoch 4"),
        (
            {"kind": "found", "severity": "warning", "case": "A", "message": "Empty.", "remedy": "Look."},
            "warning: A: Empty. Look.",
        ),
        ({"kind": "case", "name": "A", "error": None, "output": "a.nrrd"}, "A: a.nrrd"),
        ({"kind": "failed", "message": "No memory."}, "No memory."),
        ({"kind": "validated", "epoch": 4, "mean_dice": 0.5, "dice": {"a": 0.5}}, "epoch 4: Dice 0.50"),
        ({"kind": "validated", "epoch": 0, "mean_dice": 0.5, "dice": {"a": 0.5}}, "the model as it came: Dice 0.50"),
    ],
)
def test_events_are_lines(event, words):
    now = time.time()
    assert event_line({**event, "time": now}) == f"{time.strftime('%H:%M:%S', time.localtime(now))}  {words}"


@pytest.mark.parametrize("event", [{"kind": "progress"}, {"kind": "later"}, {"kind": "stage"}, {"kind": "best"}])
def test_others_are_none(event):
    assert event_line(event) == ""


def test_dice_of_many_classes_is_cut():
    assert dice_text(0.87, {"liver": 0.94, "tumor": 0.8, "cyst": None}) == "0.87 (liver 0.94, tumor 0.80)"
    assert dice_text(0.87, {"liver": 0.87}) == "0.87" and dice_text(None, {}) == "-"
    assert dice_text(0.5, {str(n): 0.5 for n in range(7)}).endswith("5 0.50, ...)")


def test_before_and_after_are_told_what_changed_most_first():
    start = {"val_dice": 0.81, "dice": {"liver": 0.94, "spleen": 0.58, "cyst": None}, "cases": ["a"]}
    best = {"val_dice": 0.84, "dice": {"liver": 0.95, "spleen": 0.70, "cyst": 0.3}, "cases": ["a"]}
    told = "Dice on the same held-out cases: 0.84, was 0.81; cyst 0.30; spleen 0.70, was 0.58; liver 0.95, was 0.94"
    assert compared_text({"start": start, "best": best}) == told
    assert event_line({"kind": "compared", "time": 0, "start": start, "best": best}).endswith(f"  {told}")
    one = {"val_dice": 0.84, "dice": {"liver": 0.84}, "cases": ["a"]}
    assert compared_text({"start": {**one, "val_dice": 0.8}, "best": one}).endswith(": 0.84, was 0.80")
    many = {"val_dice": 0.5, "dice": {str(number): 0.5 for number in range(9)}, "cases": ["a"]}
    assert compared_text({"start": many, "best": many}).endswith("5 0.50, was 0.50, ...")


@pytest.mark.parametrize("event", [None, {}, {"start": {}, "best": {}}, {"start": None, "best": {"val_dice": None}}])
def test_what_was_not_compared_is_not_told(event):
    assert compared_text(event) == ""


def test_times_are_as_people_say_them():
    assert time_text(20) == "less than a minute" and time_text(480) == "8 min" and time_text(7800) == "2 h 10 min"
    assert when_text(time.time()).startswith("today ") and when_text(0) in ("1970-01-01", "1969-12-31")


def test_the_plan_is_a_sentence():
    choices = {"dims": {"value": "2D"}, "network": {"value": "SwinUNETR"}, "spacing": {"value": [5, 0.75, 0.75]}}
    told = plan_sentence({**choices, "device": {"value": "CPU"}}, 2_000_000)
    assert told == "A 2D Swin UNETR (2.0 M weights) at 0.75 x 0.75 x 5 mm on CPU."
    assert "<b>a b</b>" in reasons_table({"a_b": {"value": ["<x>", 2], "reason": "1 < 2"}})
    assert "&lt;x&gt;, 2<br><i>1 &lt; 2</i>" in reasons_table({"a_b": {"value": ["<x>", 2], "reason": "1 < 2"}})


def test_the_legend_has_the_colours_of_the_segments():
    classes = [{"name": "left <lung>", "color": (255, 0, 16)}, {"name": "b", "color": (0, 0, 0)}]
    told = class_legend(classes, 0.5, {"left <lung>": 0.75, "b": None}, "#e0e0e0")
    assert "color:#ff0010'>&#9632;</span>&nbsp;left&nbsp;&lt;lung&gt;&nbsp;0.75" in told and "mean&nbsp;0.50" in told
    assert "color:#e0e0e0" in told, "the colour of texts, in the light style and in the dark one"
    assert "mean" not in class_legend(classes[:1], 0.5, {}, "#000000")
