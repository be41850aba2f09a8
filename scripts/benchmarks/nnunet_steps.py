"""The process of nnU-Net as something that does a training step when it is asked to."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from MedSegTrainerLib.errors import MedSegError

PLANNER = "ExperimentPlanner"
LINES_SHOWN = 8


class NnunetSteps:
    """``nnunet_process.py``, or what answers like it, with its folders in ``folder``; it ends with the ``with``.

    facts: what it planned. seconds: of each step so far, by its own clock, for each way of doing one.
    """

    def __init__(self, command: Sequence[str], folder: Path, device: torch.device) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._log = folder / "nnunet.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, PLANNER, str(device), str(torch.get_num_threads())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_surroundings(folder),
            )
        try:
            self.facts = self._answer()
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> NnunetSteps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def step(self, variant: str) -> float:
        """Does one step and returns its seconds; raises MedSegError where it failed. how: of nnunet_process.STEPS."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{variant}\n".encode())
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended, which the missing answer tells
        answer = self._answer()
        if "failed" in answer:
            raise MedSegError(f"nnU-Net's training step ({variant}) failed: {answer['failed']}")
        self.seconds.setdefault(variant, []).append(answer["seconds"])
        return self.seconds[variant][-1]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            last_lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_SHOWN:]
            raise MedSegError("\n".join([f"nnU-Net's process ended with code {code}. Last it said:", *last_lines]))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> None:
        self._process.kill()  # there is nothing in it that somebody wants to keep
        self._process.communicate()


def _surroundings(folder: Path) -> dict[str, str]:
    """The environment variables of the process: as they are here, but nnU-Net's own, of which none shall differ from
    its defaults where that changes a step."""
    inherited = {name: value for name, value in os.environ.items() if not name.lower().startswith("nnunet_")}
    folders = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    return {**inherited, **folders, "nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1", "MPLBACKEND": "Agg"}
