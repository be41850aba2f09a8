"""The animation at the top of the README, and the script that makes it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import frames
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

PICTURE = "Resources/Screenshots/panel.gif"
LARGEST_BYTES = 2_000_000
FRAMES = 19  # 3 before the training, 14 of it, 2 after
MOST_SECONDS = 900


def look_at(path: Path) -> None:
    assert path.stat().st_size < LARGEST_BYTES
    with Image.open(path) as picture:
        assert picture.n_frames == FRAMES and picture.info["loop"] == 0, "it goes on for ever"
        assert 480 <= picture.width <= 760
        durations = []
        for number in range(picture.n_frames):
            picture.seek(number)
            durations.append(picture.info["duration"])
    assert min(durations) >= 300 and 10_000 < sum(durations) < 40_000, "to be read, and not to be waited for"


def test_the_animation_of_the_readme_is_small_and_has_a_text():
    (text,) = re.findall(rf"!\[([^\]]+)\]\({re.escape(PICTURE)}\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert "Dice" in text and len(text) > 60
    look_at(ROOT / PICTURE)


@pytest.mark.slow
def test_the_script_plays_a_session_and_writes_it(tmp_path):
    pytest.importorskip("PySide6", reason="the panel's widgets are Qt's")
    path = tmp_path / "panel.gif"
    command = [sys.executable, str(ROOT / "scripts" / "animation.py"), "--quick", "--output", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS)
    assert done.returncode == 0, done.stderr
    assert f"{FRAMES} frames" in done.stdout
    look_at(path)


@pytest.mark.parametrize("direction", [1, -1])
def test_the_patients_right_is_on_the_left_and_his_front_and_head_are_at_the_top(direction):
    """Whichever way the voxels run."""
    mask = np.zeros((10, 20, 30), bool)
    mask[(slice(-4, None), slice(-6, None), slice(-8, None)) if direction > 0 else np.s_[:4, :6, :8]] = True
    scene = frames.Scene(
        caption="Words", title="CT", voxels=np.ones(mask.shape), ijk_to_ras=np.diag([2 * direction] * 3 + [1]),
        overlays=(frames.Overlay(masks={(255, 0, 0): mask}),), panel=Image.new("RGB", (400, 900), "white"),
        place=1.0, milliseconds=500,
    )  # fmt: skip
    picture = frames.compose(scene)
    assert picture.size == (frames.SLICES_WIDTH + 400, frames.HEIGHT + frames.CAPTION)
    pixels = np.asarray(picture).astype(int)[frames.CAPTION + 32 :, : frames.SLICES_WIDTH]
    is_red = pixels[:, :, 0] - pixels[:, :, 1] > 60
    axial_height = frames.SLICES_WIDTH * 20 // 30
    for part, height in ((is_red[:axial_height], axial_height), (is_red[axial_height + 6 :], axial_height // 2)):
        rows, columns = np.nonzero(part)
        assert rows.min() == columns.min() == 0 and rows.max() < 0.45 * height and columns.max() < 0.3 * part.shape[1]
