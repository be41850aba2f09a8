"""The simulated user who draws suggested slices: what he writes, what is kept, and what a curve comes to."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from benchmarks import loop
from benchmarks.loop import UNKNOWN, Draw, _settings_of, _with, _write_cases, show
from benchmarks.loop_figure import mean_curve, slices_to_reach, write_figure
from benchmarks.material import Material

from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.imaging.geometry import Geometry

SIZE = (10, 12, 14)  # x, y, z
FLIPPED = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five cases with a class, whose files run from back to front."""
    grid = Geometry(size=SIZE, spacing=(1.0, 1.5, 2.0), direction=FLIPPED)
    labels = np.zeros(grid.size_zyx, np.uint8)
    labels[3:10, 4:9, 2:7] = 1
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index in range(5):
        noise = np.random.default_rng(index).normal(size=labels.shape)
        image = grid.place((100 * labels + 10 * noise).astype(np.float32))
        sitk.WriteImage(image, str(tmp_path / "data" / "imagesTr" / f"c{index}.nii.gz"))
        sitk.WriteImage(grid.place(labels), str(tmp_path / "data" / "labelsTr" / f"c{index}.nii.gz"))
    split = [{"train": ["c0", "c1", "c2", "c3"], "val": ["c4"]}]
    (tmp_path / "split.json").write_text(json.dumps(split), encoding="utf-8")
    return tmp_path / "data"


@pytest.fixture
def read(data: Path, tmp_path: Path) -> Callable[..., argparse.Namespace]:
    def make(*words: str) -> argparse.Namespace:
        fixed = (
            f"--only loop --smoke --fold 0 --draws 1 --first-cases 1 --slices 2 --steps 3 --device cpu --data {data} "
        )
        fixed += f"--split-file {tmp_path / 'split.json'} -o {tmp_path / 'bench.json'}"
        return bench.read_arguments([*fixed.split(), *words])

    return make


@pytest.fixture
def draw(data: Path, read: Callable[..., argparse.Namespace]) -> Draw:
    dataset = find_cases(data)
    cases = dataset.cases
    return Draw(
        number=0, dataset=dataset, whole=cases[:1], pool=cases[1:4], held_out=cases[4:], arguments=read(),
        material=material(), cache=data.parent / "cache",
    )  # fmt: skip


def material() -> Material:
    """Of which nothing is used but the device."""
    plan: Any = None
    config: Any = None
    return Material(
        plan=plan, config=config, device=torch.device("cpu"), cases=(), cached=(), volume=(1, 1, 1), smoke=True
    )


def test_only_drawn_slices_have_the_truth(draw: Draw, tmp_path: Path) -> None:
    """Also one in which nothing is: then that is known of it."""
    _write_cases(draw, {"c2": {"axis": "y", "slices": [5, 0]}}, tmp_path / "job")
    first, second = find_cases(tmp_path / "job").cases
    assert (first.name, first.label.name, second.name) == ("c0", "c0.nii.gz", "c2")
    assert find_cases(tmp_path / "job").ignore_label == UNKNOWN
    written, truth = (sitk.GetArrayFromImage(sitk.ReadImage(str(case.label))) for case in (second, draw.pool[1]))
    assert (written[:, [0, 5]] == truth[:, [0, 5]]).all() and truth[:, 5].any() and not truth[:, 0].any()
    others = [index for index in range(SIZE[1]) if index not in (0, 5)]
    assert (written[:, others] == UNKNOWN).all()


def test_what_is_drawn_grows() -> None:
    before = {"a": {"axis": "y", "slices": [3]}}
    after = _with(before, [{"case": "a", "axis": "y", "slice": 8}, {"case": "b", "axis": "y", "slice": 1}])
    assert after == {"a": {"axis": "y", "slices": [3, 8]}, "b": {"axis": "y", "slices": [1]}}
    assert before == {"a": {"axis": "y", "slices": [3]}}


@pytest.mark.parametrize("cases", [1, 3, 20, 43, 200])
def test_every_round_takes_as_many_steps_whatever_is_drawn(draw: Draw, cases: int) -> None:
    draw.arguments.steps = 500
    given = dict(entry.split("=") for entry in _settings_of(draw, cases, 0))
    samples, batch = int(given["data.samples_per_volume"]), int(given["data.batch_size"])
    steps_an_epoch = cases * samples // batch
    assert int(given["trainer.epochs"]) * steps_an_epoch == pytest.approx(500, rel=0.05)


def test_minutes_in_place_of_steps(draw: Draw) -> None:
    draw.arguments.loop_minutes = 1.5
    given = [*_settings_of(draw, 3, 0)]
    assert "trainer.budget=90s" in given and not any(entry.startswith("trainer.epochs") for entry in given)


class TestCurve:
    DRAWS = (
        [{"slices": 0, "mean_dice": 0.8}, {"slices": 5, "mean_dice": 0.84}, {"slices": 10, "mean_dice": 0.9}],
        [{"slices": 0, "mean_dice": 0.82}, {"slices": 5, "mean_dice": 0.86}, {"slices": 10, "mean_dice": 0.88}],
    )

    def test_the_mean_of_the_draws(self) -> None:
        slices, dice = zip(*mean_curve(self.DRAWS), strict=True)
        assert slices == (0, 5, 10) and dice == pytest.approx((0.81, 0.85, 0.89))

    def test_slices_to_a_dice(self) -> None:
        assert slices_to_reach(self.DRAWS, 0.86) == pytest.approx(6.25)
        assert slices_to_reach(self.DRAWS, 0.8) == 0
        assert slices_to_reach(self.DRAWS, 0.95) is None

    def test_table_and_picture(self, tmp_path: Path) -> None:
        section = {
            "data": "d", "held_out": 4, "draws": 2, "whole_cases": 3, "slices_a_round": 5, "effort": "500 steps",
            "target": 0.86, "arms": {"entropy": [*self.DRAWS]}, "slices_to_target": {"entropy": 6.25},
            "share_of_baseline": {"entropy": 0.5}, "files": "",
        }  # fmt: skip
        cells = [next(iter(column.cells)) for column in show(section).columns]
        assert cells == ["entropy", "0.8100", "0.8500", "0.8900", "6 (50%)"]
        write_figure(section, tmp_path / "loop.png")
        assert (tmp_path / "loop.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_two_rounds_and_going_on(read: Callable[..., argparse.Namespace], tmp_path: Path) -> None:
    """The second time the first round is there, and no training of it is done again."""
    arguments = read("--arms", "random-foreground", "entropy")
    first = loop.section(material(), arguments)
    assert [[point["slices"] for point in curve] for curve in first["arms"]["entropy"]] == [[0, 2]]
    assert (tmp_path / "bench-loop.png").exists()
    kept = tmp_path / "bench-loop" / "draw-0" / "entropy" / "round-1" / "round.json"
    before = kept.stat().st_mtime_ns
    arguments.rounds = 2
    second = loop.section(material(), arguments)
    assert kept.stat().st_mtime_ns == before
    for arm, (curve,) in second["arms"].items():
        assert [point["slices"] for point in curve] == [0, 2, 4]
        assert curve[:2] == first["arms"][arm][0]
    with pytest.raises(UsageError, match=r"holds rounds with other settings \(steps\)"):
        loop.section(material(), read("--steps", "4"))


def test_an_unknown_ranking(read: Callable[..., argparse.Namespace]) -> None:
    with pytest.raises(UsageError, match=r"--arms complete is unknown; there are random-foreground, entropy"):
        loop.section(material(), read("--arms", "complete"))
