"""A whole volume to a label map: ours against MONAI's inferer with the plain network. Time, and the most memory.

Each side is a process of its own, so that its memory is its own; both are alive all the time and take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table

from benchmarks.infer_sides import VOLUMES
from benchmarks.material import Material
from MedSegTrainerLib.config import ApplyConfig
from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerLib.inference.predictor import windows_at_once
from MedSegTrainerLib.inference.sliding_window import only_value
from MedSegTrainerLib.inference.window_layout import window_starts
from MedSegTrainerLib.job import KEEP_FREED_MEMORY

MANY_WINDOWS = 1000  # take so long that a single round is steady
SCRIPTS = Path(__file__).resolve().parents[1]
RUNS = (("ours", "full"), ("theirs", "full"), ("ours", "body"))  # of a round; an empty window costs them the same
CONTENT = {
    "full": "noise everywhere: every window is computed",
    "body": "noise in a body, a single value around it, as the clipped air of a CT",
}


class Running:
    """A side at work: ``ask`` makes it do one volume."""

    def __init__(self, process: subprocess.Popen[str], task: dict[str, Any]) -> None:
        self.process = process
        self.before = self._answer(json.dumps(task))["peak"]

    def ask(self, volume: str) -> dict[str, Any]:
        """Seconds, and the most bytes so far."""
        return self._answer(volume)

    def _answer(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(OSError):  # it ended, which is raised below
            print(line, file=self.process.stdin, flush=True)
        reply = self.process.stdout.readline()
        if not reply:
            raise MedSegError(f"A side of the comparison ended with code {self.process.wait()}; see above.")
        answer: dict[str, Any] = json.loads(reply)
        return answer


@contextmanager
def running(side: str, material: Material, overlap: float) -> Iterator[Running]:
    """A process that does the work of a side, with the allocator as a user of it has it."""
    paths = [str(SCRIPTS), str(SCRIPTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {key: value for key, value in os.environ.items() if key not in KEEP_FREED_MEMORY}
    environment |= {"PYTHONPATH": os.pathsep.join(paths), **(KEEP_FREED_MEMORY if side == "ours" else {})}
    task = {
        "plan": material.plan.to_json(),
        "device": str(material.device),
        "volume": material.volume,
        "overlap": overlap,
        "threads": torch.get_num_threads(),
    }
    command = [sys.executable, "-m", "benchmarks.infer_sides", side]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            yield Running(process, task)
        finally:
            process.kill()


def section(material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """A row for each kind of volume: seconds and peak memory of both sides, and how many windows are empty."""
    plan, overlap = material.plan, ApplyConfig().overlap
    windows = len(_starts(material, overlap))
    rounds = 1 if windows > MANY_WINDOWS else arguments.rounds
    seconds: dict[tuple[str, str], list[float]] = {run: [] for run in RUNS}
    peaks: dict[str, int | None] = {}
    with running("ours", material, overlap) as ours, running("theirs", material, overlap) as theirs:
        sides = {"ours": ours, "theirs": theirs}
        for _ in range(rounds):
            for side, volume in RUNS:
                answer = sides[side].ask(volume)
                seconds[side, volume].append(answer["seconds"])
                peaks[side] = answer["peak"]
    memory = {side: _memory(sides[side].before, peaks[side]) for side in sides}
    rows = []
    for volume in VOLUMES:
        mine, other = ({**memory[side], **_times(seconds[run])} for side, run in _pair(volume))
        ratios = {key: _ratio(mine[key], other[key]) for key in ("peak_bytes", "volume_bytes")}
        row = {"name": volume, "empty": _empty(material, volume, overlap), "ours": mine, "theirs": other}
        rows.append({**row, "ratio": other["median_s"] / mine["median_s"], "memory": ratios})
    return {
        "volume": material.volume,
        "patch_size": plan.patch_size,
        "overlap": overlap,
        "rounds": rounds,
        "windows": windows,
        "batch_size": plan.batch_size,
        "our_batch_size": windows_at_once(plan, material.device),
        "mixed_precision": plan.mixed_precision,
        "channels_last": plan.channels_last,
        "rows": rows,
    }


def show(section: dict[str, Any]) -> Table:
    size, patch = (" x ".join(str(n) for n in section[key]) for key in ("volume", "patch_size"))
    arithmetic = "16-bit" if section["mixed_precision"] else "32-bit"
    arithmetic += " channels-last" if section["channels_last"] else ""
    title = (
        f"infer: a volume of {size} in memory to a label map, {section['windows']} windows of {patch}, overlap "
        f"{section['overlap']}; each side in a process of its own, in turns, median of {section['rounds']}\n"
        f"Ours: Predictor.segment, {arithmetic}, {section['our_batch_size']} windows at once, in a process as jobs "
        f"are started. Theirs: MONAI SlidingWindowInferer (gaussian) and argmax, plain fp32 PyTorch, the same U-Net, "
        f"{section['batch_size']} windows at once"
    )
    table = Table(title=escape(title), show_lines=True)
    table.add_column("Volume")
    for heading in ("Ours", "Theirs", "Theirs / ours"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in section["rows"]:
        cells = [
            f"{side['median_s']:.2f} s\n{_size(side['peak_bytes'])} peak\n{_size(side['volume_bytes'])} for the volume"
            for side in (row["ours"], row["theirs"])
        ]
        memory = [_ratio_text(row["memory"][key]) for key in ("peak_bytes", "volume_bytes")]
        empty = f"{row['empty']} of {section['windows']} windows are empty"
        table.add_row(
            f"[bold]{row['name']}[/]: {CONTENT[row['name']]}\n{empty}",
            *cells,
            "\n".join([_ratio_text(row["ratio"]), *memory]),
        )
    return table


def _pair(volume: str) -> tuple[tuple[str, tuple[str, str]], ...]:
    return ("ours", ("ours", volume)), ("theirs", ("theirs", "full"))


def _times(seconds: list[float]) -> dict[str, Any]:
    return {"median_s": statistics.median(seconds), "times_s": seconds}


def _memory(before: int | None, peak: int | None) -> dict[str, int | None]:
    """The most bytes of the process, and how many of them came with the volume."""
    return {"peak_bytes": peak, "volume_bytes": None if peak is None or before is None else peak - before}


def _ratio(ours: int | None, theirs: int | None) -> float | None:
    return theirs / ours if ours and theirs else None


def _starts(material: Material, overlap: float) -> list[tuple[int, int, int]]:
    return window_starts(material.volume, material.plan.patch_size, overlap)


def _empty(material: Material, volume: str, overlap: float) -> int:
    window = material.plan.patch_size
    image = torch.from_numpy(VOLUMES[volume](material.volume, len(material.plan.normalization)))
    cut = (image[:, z : z + window[0], y : y + window[1], x : x + window[2]] for z, y, x in _starts(material, overlap))
    return sum(only_value(part) is not None for part in cut)


def _size(value: int | None) -> str:
    return "-" if value is None else f"{value / 2**20:.0f} MiB"


def _ratio_text(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f} x"
