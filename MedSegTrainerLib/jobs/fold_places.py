"""How many folds of a cross-validation train at the same time, and what of the computer each has for itself."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from MedSegTrainerLib.config.settings import Auto
from MedSegTrainerLib.hardware.device import choose_device
from MedSegTrainerLib.hardware.devices import several_gpus

# what OpenMP and MKL, with which PyTorch computes on a CPU, read when a process begins
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one fold after the other trains. device: as settings name it. threads: of its process, None: all."""

    device: str
    threads: int | None = None

    def environment(self) -> dict[str, str]:
        """The variables of a process that trains here: this one's, with its share of the cores."""
        share = {} if self.threads is None else dict.fromkeys(THREAD_VARIABLES, str(self.threads))
        return {**os.environ, **share}


def fold_places(
    asked: int | Auto, device: str, folds: int, *, gpus: int | None = None, threads: int | None = None
) -> tuple[list[Place], str | None]:
    """A place for each fold that trains at the same time, and a warning where there are fewer than asked for.

    Each is a GPU, or a share of the CPU's cores: on one of two cores a fold takes less than twice as long, for not
    everything in it is done by several threads. ``"auto"``: one for each GPU. device: a setting such as ``"auto"``.
    gpus, threads: how many there are, by default what PyTorch sees and uses. Raises UsageError for an unknown device.
    """
    chosen, _ = choose_device(device) if gpus is None else (torch.device("cuda" if gpus else "cpu"), None)
    found, warning = several_gpus(chosen, asked, seen=gpus)
    names = [device] if len(found) == 1 else [str(gpu) for gpu in found]
    if chosen.type == "cpu" and asked != "auto":
        names = [device] * asked
    elif chosen.type == "mps" and asked not in (1, "auto"):
        warning = f"{asked} devices were asked for, and there is one Apple GPU: one fold trains after the other."
    names = names[:folds]
    if len(names) == 1:
        return [Place(device=names[0])], warning
    share = max(1, (torch.get_num_threads() if threads is None else threads) // len(names))
    return [Place(device=name, threads=share) for name in names], warning
