"""The comparison by time to Dice: that MONAI's recipe runs and learns, on its own grids, and what is made of both."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("monai", reason="the extra 'bench' is not installed")
pytest.importorskip("nibabel", reason="MONAI reads NIfTI with it")

import bench
import nibabel
from benchmarks import dice, dynunet
from benchmarks.dice_figure import write_figure
from benchmarks.dice_sides import TASK04, recipe_for
from benchmarks.processes import Work, run_lanes

from MedSegTrainerLib.data.checks.fingerprint import Fingerprint
from MedSegTrainerLib.errors import JobError, UsageError

TINY = dynunet.Recipe(
    patch=(16, 16, 16), spacing=(1.5, 1.5, 2.0), batch=2, samples=1, positive=1, heads=3, resample=False
)


class TestRecipe:
    def test_levels_of_cubic_voxels_end_below_eight(self) -> None:
        kernels, strides = dynunet.levels(TASK04.patch, TASK04.spacing)
        assert kernels == [[3, 3, 3]] * 4
        assert strides == [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]]

    def test_long_voxels_are_not_halved_before_the_others_reach_them(self) -> None:
        kernels, strides = dynunet.levels((320, 256, 20), (0.62, 0.62, 3.6))
        assert kernels == [[3, 3, 1]] * 2 + [[3, 3, 3]] * 5
        assert strides == [[1, 1, 1], [2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2], [2, 2, 1], [2, 2, 1]]

    def test_the_rate_ends_at_nothing(self) -> None:
        rates = [dynunet.decayed(0.01, share) for share in (-0.1, 0.0, 0.5, 1.0, 1.2)]
        assert rates == pytest.approx([0.01, 0.01, 0.01 * 0.5**0.9, 0.0, 0.0])

    def test_published_numbers_are_taken_where_there_are_some(self) -> None:
        assert recipe_for(_fingerprint(), "Hippocampus", smoke=False) == TASK04

    def test_other_data_get_the_largest_patch_within_the_median_size(self) -> None:
        recipe = recipe_for(_fingerprint(), "livers", smoke=False)
        assert recipe.spacing == (1.0, 0.8, 2.5)  # (x, y, z)
        assert recipe.patch == (80, 128, 16)  # of 90, 200 and 12 voxels
        assert recipe.resample
        assert len(dynunet.levels(recipe.patch, recipe.spacing)[1]) >= 3


class TestTheirTraining:
    def test_steps_lower_the_loss_and_judge_two_resolutions(self, tmp_path: Path) -> None:
        training = dynunet.prepare(_task(tmp_path))
        batch = next(iter(training.batches))
        assert batch["image"].shape == batch["label"].shape == (2, 1, 16, 16, 16)
        assert training.network.train()(batch["image"]).shape == (2, 2, 3, 16, 16, 16)
        losses = [dynunet.step(training, batch, 0.01) for _ in range(6)]
        assert losses[-1] < losses[0]
        assert training.steps == 6

    @pytest.mark.parametrize(("resample", "least"), [(False, 0.999), (True, 0.75)])
    def test_what_is_segmented_lies_on_the_grid_of_the_reference(
        self, tmp_path: Path, resample: bool, least: float
    ) -> None:
        task = _task(tmp_path, resample=resample)
        training = dynunet.prepare(task)
        training.network = _Thresholds()
        assert dynunet.validate(training, 0.01, 1.0) > least
        dynunet._write(training)
        reference = nibabel.load(task.val[0]["label"])
        written = nibabel.load(tmp_path / dynunet.PREDICTIONS / "case_2.nii.gz")
        assert np.allclose(written.affine, reference.affine)
        assert written.shape == reference.shape
        assert np.mean(written.get_fdata() == reference.get_fdata()) > 0.5 + least / 2

    def test_a_time_that_is_over_still_gives_a_step_a_point_and_label_maps(self, tmp_path: Path) -> None:
        dynunet.run(_task(tmp_path, minutes=1e-6))
        (line,) = (tmp_path / dynunet.CURVE).read_text(encoding="utf-8").splitlines()
        assert set(json.loads(line)["dice"]) == {"one", "two"}
        outcome = json.loads((tmp_path / dynunet.OUTCOME).read_text(encoding="utf-8"))
        assert outcome["steps"] == 1
        assert [path.name for path in (tmp_path / dynunet.PREDICTIONS).iterdir()] == ["case_2.nii.gz"]


class TestLanes:
    def test_a_lane_keeps_its_order_and_lanes_do_not_wait_for_each_other(self, tmp_path: Path) -> None:
        prelude = "import pathlib, sys; p = pathlib.Path(sys.argv[1])"
        wait = f"{prelude}; import time\nwhile not p.exists(): time.sleep(0.01)"
        make = f"{prelude}; p.touch()"
        # the first lane waits for what the second one makes last
        first = [_work("a", wait, tmp_path / "c")]
        second = [
            _work("b", make, tmp_path / "b"),
            _work("c", f"{prelude}; p.touch() if p.with_name('b').exists() else 1", tmp_path / "c"),
        ]
        run_lanes([first, second], [None, None])
        assert all(work.seconds > 0 for work in (*first, *second))
        assert second[0].started < second[1].started

    def test_one_that_fails_ends_the_others(self) -> None:
        lasting = _work("long", "import time; time.sleep(600)", Path())

        def refuse() -> None:
            raise JobError("no result")

        failing = _work("failing", "", Path())
        failing.check = refuse
        with pytest.raises(JobError, match="no result"):
            run_lanes([[lasting], [failing]], [None, None])
        assert PROCESSES["long"].poll() is not None

    def test_each_side_gets_half_of_the_cores(self) -> None:
        ours, theirs = [_work("a", "", Path()), _work("b", "", Path())], [_work("c", "", Path())]
        lanes, cores, text = dice._arrange(ours, theirs, True, [0, 2, 5])
        assert (lanes, cores) == ([ours, theirs], [[0], [2]])
        assert "1 of 3 cores each" in text
        lanes, cores, _ = dice._arrange(ours, theirs, False, [0, 2, 5])
        assert (lanes, cores) == ([[ours[0], theirs[0], ours[1]]], [None])
        with pytest.raises(UsageError, match="two cores"):
            dice._arrange(ours, theirs, True, [3])


class TestResult:
    def test_the_shortest_job_that_is_as_good_counts(self) -> None:
        headline = dice.headline(_ours(), _theirs())
        assert headline == {
            "dice": 0.88, "their_minutes": 20.0, "minutes": 5.0, "share": 0.25, "validated_minutes": 3.0
        }  # fmt: skip
        assert "takes us 5.0: 25% of its time" in dice.headline_text(headline)

    def test_none_that_is_as_good_is_told(self) -> None:
        better = [{**one, "mean_dice": 0.95} for one in _theirs()]
        headline = dice.headline(_ours(), better)
        assert (headline["minutes"], headline["share"], headline["validated_minutes"]) == (None, None, None)
        assert "reached by no job" in dice.headline_text(headline)

    def test_the_figure_is_a_picture(self, tmp_path: Path) -> None:
        write_figure(_section(), tmp_path / "dice.png")
        assert (tmp_path / "dice.png").read_bytes().startswith(b"\x89PNG")

    def test_both_sides_run_and_are_compared(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["--smoke", "--device", "cpu", "--only", "dice", "--minutes", "0.02", "--our-minutes", "0.03"]
        assert bench.run(bench.read_arguments([*arguments, "-o", str(tmp_path / "b.json")])) == 0
        section = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["sections"]["dice"]
        (ours,), (theirs,) = section["ours"], section["theirs"]
        assert ours["planned_minutes"] == 0.03
        for side in (ours, theirs):
            assert set(side["dice"]) == {"liver", "portal vein", "tumor", "spleen"}
            assert 0 <= side["mean_dice"] <= 1
            assert 0 < side["curve"][0]["minutes"] < side["minutes"]
        assert section["held_out"] == 1
        assert (tmp_path / "b-dice.png").exists()
        assert "MONAI's DynUNet recipe" in capsys.readouterr().out


PROCESSES: dict[str, subprocess.Popen[bytes]] = {}


def _work(name: str, script: str, path: Path) -> Work:
    def start(environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        PROCESSES[name] = subprocess.Popen([sys.executable, "-c", script, str(path)], env=dict(environment))
        return PROCESSES[name]

    return Work(name=name, start=start, check=lambda: None)


class _Thresholds(torch.nn.Module):
    """Finds what ``_task`` painted by its brightness alone."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        low, high = images.amin(dim=(2, 3, 4), keepdim=True), images.amax(dim=(2, 3, 4), keepdim=True)
        bright = (images - low) / (high - low)
        return torch.cat([-100 * (bright - place).abs() for place in (0.0, 0.5, 1.0)], dim=1)


def _task(folder: Path, *, resample: bool = False, minutes: float = 1.0) -> dynunet.Task:
    """Three cases of two boxes in an empty margin, on mirrored and exchanged axes; the last is held out."""
    cases = []
    affine = np.array([[0, -1.5, 0, 9], [1.5, 0, 0, -20], [0, 0, -2.0, 31], [0, 0, 0, 1]])
    for index in range(3):
        label = np.zeros((26, 20, 18), np.uint8)
        label[5 + index : 15 + index, 4:13, 4:14] = 1
        label[7:12, 6:11, 6 + index : 10 + index] = 2
        image = np.zeros(label.shape, np.float32)
        image[2:-1, 1:-2, 2:-3] = 100
        image[18:24, 14:17, 3:14] = 140  # brighter than the mean: from where patches without a structure are taken
        image += 100 * label
        files = {"image": folder / f"image_{index}.nii.gz", "label": folder / f"label_{index}.nii.gz"}
        for array, path in zip((image, label), files.values(), strict=True):
            nibabel.save(nibabel.Nifti1Image(array, affine), path)
        cases.append({"name": f"case_{index}", "image": [str(files["image"])], "label": str(files["label"])})
    recipe = dynunet.Recipe(
        **{**asdict(TINY), "resample": resample, "spacing": (1.2, 1.6, 1.8) if resample else TINY.spacing}
    )
    return dynunet.Task(
        recipe=recipe, minutes=minutes, rate=0.01, train=cases[:2], val=cases[2:], classes=["one", "two"],
        folder=str(folder),
    )  # fmt: skip


def _fingerprint() -> Fingerprint:
    """Sizes and spacings as (z, y, x)."""
    return Fingerprint(
        cases=3, dims=3, sizes=np.array([[12, 200, 90], [11, 190, 80], [14, 210, 95]]),
        spacings=np.array([[2.5, 0.8, 1.0], [2.5, 0.8, 1.0], [3.0, 0.8, 1.1]]), channels=(), classes=(),
        cases_with={}, voxel_share={}, median_volume_mm3={},
    )  # fmt: skip


def _side(name: str, minutes: float, mean: float, curve: Sequence[tuple[float, float]]) -> dict[str, Any]:
    points = [{"minutes": when, "mean_dice": value} for when, value in curve]
    return {"name": name, "minutes": minutes, "mean_dice": mean, "dice": {"one": mean}, "curve": points}


def _ours() -> list[dict[str, Any]]:
    short = _side("MedSegTrainer, budget of 5 minutes", 5.0, 0.89, [(1.0, 0.6), (3.0, 0.885), (4.5, 0.89)])
    long = _side("MedSegTrainer, budget of 20 minutes", 20.0, 0.9, [(2.0, 0.7), (10.0, 0.88), (19.0, 0.9)])
    early = _side("MedSegTrainer, budget of 2 minutes", 2.0, 0.85, [(1.5, 0.85)])
    return [short, long, early]


def _theirs() -> list[dict[str, Any]]:
    slow = _side("MONAI's DynUNet recipe, learning rate 0.01", 20.0, 0.88, [(4.0, 0.5), (12.0, 0.8), (19.0, 0.88)])
    return [slow, _side("MONAI's DynUNet recipe, learning rate 0.1", 20.1, 0.86, [(9.0, 0.3), (19.5, 0.86)])]


def _section() -> dict[str, Any]:
    return {
        "data": "Hippocampus", "train": 160, "held_out": 40, "machine_words": "2 cores", "classes": ["one"],
        "ours": _ours(), "theirs": _theirs(), "headline": dice.headline(_ours(), _theirs()),
    }  # fmt: skip
