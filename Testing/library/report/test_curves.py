"""The picture of all curves: whatever is missing from them, it can be drawn, and shows what is there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from MedSegTrainerLib.classes import default_color
from MedSegTrainerLib.report.curves import draw_curves, write_curves

GREEN = "#00ff00"
Point = dict[str, Any]


def points(epochs: int, **changes: Any) -> list[Point]:
    return [
        {
            "epoch": epoch, "train_loss": 1 / epoch, "learning_rate": 1e-2 / epoch, "gradient_norm": 3.0,
            "minutes": epoch / 4, "mean_dice": 0.8, "dice": {"liver": 0.8}, "val_loss": 1.5 / epoch, "val_iou": 0.6,
            **changes,
        }
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


def green(path: Path) -> np.ndarray:
    """Pixels (row, column) of the class's line in the panel of the Dice, upper right; its legend is not in there."""
    rgb = imread(path)[:266, 550:, :3]
    return np.argwhere((rgb[..., 1] > 0.9) & (rgb[..., 0] < 0.2) & (rgb[..., 2] < 0.2))


def test_a_larger_dice_is_higher_and_a_later_epoch_further_right(tmp_path: Path) -> None:
    rising = [{**point, "dice": {"liver": point["epoch"] / 10}} for point in points(8)]
    write_curves(rising, {"liver": GREEN}, tmp_path / "curves.png")
    seen = green(tmp_path / "curves.png")
    left, right = seen[seen[:, 1].argmin()], seen[seen[:, 1].argmax()]
    assert right[1] - left[1] > 300
    assert left[0] - right[0] > 100


def test_the_same_dice_is_at_the_same_height_in_every_picture(tmp_path: Path) -> None:
    """The panel reaches from 0 to 1.02, whatever the values are."""
    rows = []
    for value in (0.2, 0.5, 0.8):
        write_curves(points(3, dice={"liver": value}), {"liver": GREEN}, tmp_path / "curves.png")
        rows.append(green(tmp_path / "curves.png")[:, 0].mean())
    assert rows[0] - rows[1] == pytest.approx(rows[1] - rows[2], abs=2)
    assert rows[0] - rows[2] > 80


def test_gaps_are_bridged(tmp_path: Path) -> None:
    """The Dice is known in the first and the last epoch only, and is no number in the fifth."""
    gappy = points(9, dice={"liver": None}, val_loss=None, train_loss=math.nan, gradient_norm=math.inf)
    gappy[0]["dice"] = gappy[-1]["dice"] = {"liver": 0.5}
    for point in gappy[1:-1]:
        del point["dice"], point["mean_dice"], point["minutes"]
    gappy[4]["dice"] = {"liver": math.nan}
    write_curves(gappy, {"liver": GREEN}, tmp_path / "curves.png")
    columns = np.unique(green(tmp_path / "curves.png")[:, 1])
    assert np.ptp(columns) + 1 == len(columns) > 300


@pytest.mark.parametrize("classes", [0, 1, 20, 60])
@pytest.mark.parametrize("epochs", [0, 1, 45])
def test_any_number_of_classes_and_epochs(tmp_path: Path, classes: int, epochs: int) -> None:
    names = [f"a structure with quite a long name {index}" for index in range(classes)]
    colors = {name: "#{:02x}{:02x}{:02x}".format(*default_color(index)) for index, name in enumerate(names)}
    write_curves(points(epochs, dice=dict.fromkeys(names, 0.7)), colors, tmp_path / "curves.png")
    assert imread(tmp_path / "curves.png").shape[:2] == (800, 1100)


def test_a_new_picture_replaces_the_old_one(tmp_path: Path) -> None:
    for count in (2, 5):
        before = (tmp_path / "curves.png").read_bytes() if count == 5 else b""
        write_curves(points(count), {"liver": GREEN}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_the_report_shows_the_validation_loss_where_it_is_known() -> None:
    assert "validation loss" in draw_curves(points(3), {"liver": GREEN})
    old = draw_curves([{**point, "val_loss": None} for point in points(3)], {"liver": GREEN})
    assert "training loss" in old and "validation loss" not in old
