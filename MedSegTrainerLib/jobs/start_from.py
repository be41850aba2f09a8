"""The model that a training begins as: read, kept in the job folder, and turned into weights for its plan."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.samples.batches import epoch_batches
from MedSegTrainerLib.data.samples.cache import StoredCase
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.description import DESCRIPTION
from MedSegTrainerLib.model.lineage import TrainedCases, lineage_of, trained_cases
from MedSegTrainerLib.model.origins import Origins
from MedSegTrainerLib.model.package import ModelPackage, load_members, load_package, save_package
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.planning.start_misfits import StartModel, origins_of
from MedSegTrainerLib.training.start_weights import (
    MergedRow,
    fitting,
    relative_logits,
    stand_in,
    with_channels,
    with_classes,
)

LOOKED_AT = 8  # batches of patches, for the rows of classes that become one
MOST_VOXELS = 20_000
RAREST, MOST_COMMON = 1e-4, 0.1  # share of the voxels that a new class begins with


@dataclass(frozen=True, kw_only=True)
class StartFrom:
    """A trained model to begin as. lineage: of ``lineage_of``, the model itself last."""

    name: str
    package: ModelPackage
    lineage: list[dict[str, object]]

    @property
    def model(self) -> StartModel:
        return StartModel(name=self.name, plan=self.package.plan, data=self.package.data)

    @property
    def trained(self) -> TrainedCases:
        return trained_cases(self.lineage)


def read_start(config: TrainConfig, folder: JobFolder | None = None) -> StartFrom | None:
    """The model that a configuration names, None where it names none; raises ModelError.

    folder: of a job, which keeps a copy and from then on needs no other.
    """
    if not config.start.model:
        return None
    path = Path(config.start.model)
    if folder is not None and (folder.start_model / DESCRIPTION).exists():
        package = load_package(folder.start_model)
    else:
        package = _one_model(path)
        package.training.setdefault("when", _day(path))
        if folder is not None:
            save_package(package, folder.start_model)
    name, training, plan = _name(path), package.training, package.plan
    try:
        lineage = lineage_of(training, package.metrics.get("val_dice"), plan.class_names, name, str(training["when"]))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return StartFrom(name=name, package=package, lineage=lineage)


def start_weights(
    start: StartFrom,
    plan: Plan,
    config: TrainConfig,
    shares: Mapping[str, float],
    cases: Sequence[StoredCase],
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """The weights that the training begins with, on the CPU.

    shares: of the voxels that each class has. cases: that train; patches of them say what row stands for several.
    """
    old, weights = start.package.plan, start.package.weights
    origins = origins_of(start.model, plan.channel_names, plan.class_names, config)
    torch.manual_seed(config.data.seed)
    fresh = build_network(plan.architecture, plan.network).state_dict()
    converted = with_channels(weights, old, plan, origins)
    merged = _merged_rows(converted, old, plan, config, origins, cases, device)
    converted = with_classes(
        converted,
        old,
        plan,
        origins,
        margins=[_margin(shares.get(name, 0.0)) for name in plan.class_names],
        merged=merged,
        fresh=fresh,
    )
    return fitting(converted, fresh)[0]


def _merged_rows(
    weights: Mapping[str, torch.Tensor],
    old: Plan,
    plan: Plan,
    config: TrainConfig,
    origins: Origins,
    cases: Sequence[StoredCase],
    device: torch.device,
) -> list[dict[int, MergedRow]]:
    """For each level of logits, the rows that stand for several classes."""
    places = [place for place, sources in enumerate(origins.classes) if len(sources) > 1]
    if not places:
        return []
    levels = _logits(weights, old, plan, config, cases, device)
    return [
        {place: stand_in(level, origins.classes[place], origins, overlapping=plan.overlapping) for place in places}
        for level in levels
    ]


@torch.no_grad()
def _logits(
    weights: Mapping[str, torch.Tensor],
    old: Plan,
    plan: Plan,
    config: TrainConfig,
    cases: Sequence[StoredCase],
    device: torch.device,
) -> list[torch.Tensor]:
    """What the model says of patches of these cases: relative logits (voxels, classes) of each level."""
    parameters = {**plan.network, "out_channels": old.network["out_channels"]}
    network = build_network(plan.architecture, parameters)
    network.load_state_dict(fitting(weights, network.state_dict())[0])
    network.to(device).eval()
    network.training = True  # of the whole alone: it gives all its levels, and no layer drops or counts anything
    batches = epoch_batches(cases, plan, config.data, device, 0)
    levels: list[list[torch.Tensor]] = []
    for images, *_ in islice(batches, LOOKED_AT):
        for level, logits in enumerate(network(images[:, :, 0] if plan.dims == 2 else images)):
            levels = [*levels, []] if level == len(levels) else levels
            levels[level].append(relative_logits(logits, old).cpu())
    joined = [torch.cat(level) for level in levels]
    return [level[:: -(-len(level) // MOST_VOXELS)] for level in joined]


def _one_model(path: Path) -> ModelPackage:
    members = load_members(path)
    if len(members) > 1:
        folds = path / "folds"
        one = folds / "0" if folds.is_dir() else "JOB/folds/0"
        raise ModelError(
            f"{path} is an ensemble of {len(members)} models, and a training begins as one. Take one fold of it, such "
            f"as {one}."
        )
    return members[0]


def _name(path: Path) -> str:
    """What people call a model: the name of its job, or of its file."""
    job = path.parent if path.name == "model" else path
    return f"{job.parent.parent.name}, fold {job.name}" if job.parent.name == "folds" else job.name


def _margin(share: float) -> float:
    """The logit that a new class is below the background: the odds of its voxels, within reason."""
    share = min(max(share, RAREST), MOST_COMMON)
    return math.log((1 - share) / share)


def _day(path: Path) -> str:
    """When a model of an earlier version was written, YYYY-MM-DD."""
    places = (path / "model" / DESCRIPTION, path / DESCRIPTION, path)
    written = next(place for place in places if place.is_file()).stat().st_mtime
    return time.strftime("%Y-%m-%d", time.localtime(written))
