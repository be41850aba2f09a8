"""What the comparisons work on: labelled volumes, the plan that is made for them, and the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from MedSegTrainerLib.config import DataConfig, LossConfig, NetworkConfig, TrainConfig
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.checks.fingerprint import take_fingerprint
from MedSegTrainerLib.data.checks.scan import scan_cases
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.phantom import write_phantoms
from MedSegTrainerLib.data.samples.cache import CachedCase
from MedSegTrainerLib.data.samples.patches import Triple, cut_batch, draw_patch
from MedSegTrainerLib.data.samples.preprocess import prepare_case
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.duration import parse_duration
from MedSegTrainerLib.planning.planner import make_plan
from MedSegTrainerLib.training.time_budget import DEFAULT_BUDGET

MOST_CASES = 4  # enough to differ; with more a run would only take longer to begin


@dataclass(frozen=True, kw_only=True)
class Material:
    """``volume`` is the size (z, y, x) to infer on; ``cached`` are the first cases, prepared."""

    plan: Plan
    config: TrainConfig
    device: torch.device
    cases: tuple[Case, ...]
    cached: tuple[CachedCase, ...]
    volume: Triple
    smoke: bool

    def batch(self, size: Triple, generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, C, z, y, x) and int16 labels (B, z, y, x), drawn as in training, on the device."""
        chosen = [int(i) for i in generator.integers(len(self.cached), size=self.plan.batch_size)]
        share = self.plan.oversampling(self.config.data)
        draws = [draw_patch(generator, i, self.cached[i], self.plan.patch_size, share) for i in chosen]
        return cut_batch(self.cached, draws, size, self.device)


def prepare(data: Path | None, folder: Path, device: torch.device, volume: Triple, *, smoke: bool) -> Material:
    """Plans and prepares the first cases of ``data``, or of phantoms written to ``folder``; raises MedSegError."""
    if data is None:
        write_phantoms(folder, train=2 if smoke else MOST_CASES, held_out=0)
    dataset = find_cases(data or folder / "train")
    dataset = replace(dataset, cases=dataset.cases[:MOST_CASES])
    names = tuple(case.name for case in dataset.cases)
    config = _config(smoke)
    plan = make_plan(
        take_fingerprint(dataset, scan_cases(dataset.cases)),
        config,
        Split(train=names, val=(), test=(), reason="nothing is trained"),
        device,
        parse_duration(DEFAULT_BUDGET),
    )
    return Material(
        plan=plan,
        config=config,
        device=device,
        cases=dataset.cases,
        cached=_cached(dataset.cases, plan, device),
        volume=volume,
        smoke=smoke,
    )


def _config(smoke: bool) -> TrainConfig:
    network = NetworkConfig(dims=3, base_channels=4 if smoke else "auto")
    data = DataConfig(patch_size=[16, 32, 32], batch_size=2) if smoke else DataConfig()
    return TrainConfig(data=data, network=network, loss=LossConfig(loss_type="combined"))  # as the other sides have it


def _cached(cases: Sequence[Case], plan: Plan, device: torch.device) -> tuple[CachedCase, ...]:
    prepared = [prepare_case(case, plan) for case in cases]
    place = device if plan.cache == "device" else torch.device("cpu")
    return tuple(
        CachedCase(
            name=case.name,
            image=torch.from_numpy(one.image).to(place),
            label=torch.from_numpy(one.label).to(place),
            locations=torch.from_numpy(one.locations),
            geometry=one.geometry,
        )
        for case, one in zip(cases, prepared, strict=True)
    )
