"""The model that a training begins as: read, kept in the job folder, and turned into weights for its plan."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.samples.batches import epoch_batches
from MedSegTrainerLib.data.samples.cache import StoredCase
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.losses.segmentation_loss import shrunk
from MedSegTrainerLib.model.any_description import written_file
from MedSegTrainerLib.model.description import DESCRIPTION
from MedSegTrainerLib.model.lineage import EarlierCases, earlier_cases, lineage_of
from MedSegTrainerLib.model.origins import Origins
from MedSegTrainerLib.model.package import ModelPackage, load_members, load_package, save_package
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.planning.start_misfits import StartModel, origins_of
from MedSegTrainerLib.planning.start_speed import step_seconds
from MedSegTrainerLib.training.fitted_rows import SeenVoxels, fitted_row, offsets_of_known, with_rows
from MedSegTrainerLib.training.start_weights import (
    MergedRow,
    fitting,
    last_layers,
    relative_logits,
    seen_above,
    stand_in,
    with_channels,
    with_classes,
)

LOOKED_AT = 8  # batches of patches, for the rows of classes that become one
FITTED_ON = 32  # batches of patches, for the rows of new classes
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
        package = self.package
        seconds = step_seconds(package.curves, package.plan)
        return StartModel(name=self.name, plan=package.plan, data=package.data, step_seconds=seconds)

    @property
    def cases(self) -> EarlierCases:
        return earlier_cases(self.lineage)


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
    name, training, plan = _name(path, package), package.training, package.plan
    try:
        dice, when = package.metrics.get("val_dice"), str(training["when"])
        lineage = lineage_of(training, dice, plan.class_names, name, when, package.curves)
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

    shares: of the voxels that each class has. cases: that train; patches of them say what row stands for several, and
    how far below the others a new class has to begin.
    """
    old = start.package.plan
    origins = origins_of(start.model, plan.channel_names, plan.class_names, config)
    torch.manual_seed(config.data.seed)
    fresh = build_network(plan.architecture, plan.network).state_dict()
    with_own_classes = with_channels(start.package.weights, old, plan, origins)

    def levels_of(weights: Mapping[str, torch.Tensor], outputs: int) -> Iterator[list[torch.Tensor]]:
        return _levels(weights, plan, outputs, config, cases, device)

    merged: list[dict[int, MergedRow]] = []
    if any(len(sources) > 1 for sources in origins.classes):
        merged = _merged_rows(levels_of(with_own_classes, old.out_channels), old, plan, origins)
    margins = [[_margin(shares.get(name, 0.0)) for name in plan.class_names]]

    def converted() -> dict[str, torch.Tensor]:
        made = with_classes(with_own_classes, old, plan, origins, margins=margins, merged=merged, fresh=fresh)
        return fitting(made, fresh)[0]

    if all(origins.classes):
        return converted()
    margins = _margins_below(levels_of(converted(), plan.out_channels), margins[0], plan, origins)
    return _with_fitted_rows(converted(), plan, origins, config, cases, device)


def has_new_channels(start: StartFrom, plan: Plan, config: TrainConfig) -> bool:
    """Whether the training has channels that the model had not."""
    return None in origins_of(start.model, plan.channel_names, plan.class_names, config).channels


def _merged_rows(
    batches: Iterable[list[torch.Tensor]], old: Plan, plan: Plan, origins: Origins
) -> list[dict[int, MergedRow]]:
    """For each level of logits, the rows that stand for several classes. batches: what the model says of patches."""
    places = [place for place, sources in enumerate(origins.classes) if len(sources) > 1]
    rows = []
    for level in zip(*batches, strict=True):
        relative = torch.cat([relative_logits(logits, old) for logits in level])
        relative = relative[:: -(-len(relative) // MOST_VOXELS)]
        rows.append(
            {
                place: stand_in(relative, origins.classes[place], origins, overlapping=plan.overlapping)
                for place in places
            }
        )
    return rows


def _margins_below(
    batches: Iterable[list[torch.Tensor]], margins: Sequence[float], plan: Plan, origins: Origins
) -> list[list[float]]:
    """For each level, the margins with which no new class is the highest anywhere in patches."""
    levels = []
    for level in zip(*batches, strict=True):
        seen = [seen_above(logits, origins, overlapping=plan.overlapping) for logits in level]
        levels.append([margin + max(above) for margin, above in zip(margins, zip(*seen, strict=True), strict=True)])
    return levels


@torch.no_grad()
def _levels(
    weights: Mapping[str, torch.Tensor],
    plan: Plan,
    outputs: int,
    config: TrainConfig,
    cases: Sequence[StoredCase],
    device: torch.device,
) -> Iterator[list[torch.Tensor]]:
    """Logits of a network of ``plan`` with so many outputs, of patches of these cases: a batch with all its levels."""
    network = _network(weights, plan, outputs, device)
    for images, *_ in islice(epoch_batches(cases, plan, config.data, device, 0), LOOKED_AT):
        yield [logits.float().cpu() for logits in network(images[:, :, 0] if plan.dims == 2 else images)]


def _network(weights: Mapping[str, torch.Tensor], plan: Plan, outputs: int, device: torch.device) -> nn.Module:
    """That gives all its levels, while no layer drops or counts anything."""
    network = build_network(plan.architecture, {**plan.network, "out_channels": outputs})
    network.load_state_dict(fitting(weights, network.state_dict())[0])
    network.to(device).eval()
    network.training = True  # of the whole alone
    return network


@torch.no_grad()
def _with_fitted_rows(
    weights: dict[str, torch.Tensor],
    plan: Plan,
    origins: Origins,
    config: TrainConfig,
    cases: Sequence[StoredCase],
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """The weights with rows of the last layers that tell new classes from all else in patches of these cases."""
    layers, hidden = last_layers(plan)
    if hidden or any(weights[f"{name}.weight"][0, 0].numel() > 1 or f"{name}.bias" not in weights for name in layers):
        return weights  # a row is no combination of the maps at a voxel, or cannot be moved
    network = _network(weights, plan, plan.out_channels, device)
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name in layers:
        network.get_submodule(name).register_forward_hook(
            lambda _, maps, logits, name=name: found.update({name: (maps[0].float().cpu(), logits.float().cpu())})
        )
    new = [place for place, sources in enumerate(origins.classes) if not sources]
    seen = {name: {place: SeenVoxels() for place in new} for name in layers}
    settings = replace(config.data, mixup=0.0, cutmix=0.0)
    for images, labels, *_ in islice(epoch_batches(cases, plan, settings, device, 0), FITTED_ON):
        network(images[:, :, 0] if plan.dims == 2 else images)
        targets = (labels[:, 0] if plan.dims == 2 else labels).cpu()
        for name, (maps, logits) in found.items():
            offsets = offsets_of_known(logits, origins, overlapping=plan.overlapping)
            level = shrunk(targets, maps.shape[2:])
            for place, voxels in seen[name].items():
                voxels.add(maps, offsets, level, *_numbers(plan, place + 1))
    rows = {name: {place: fitted_row(voxels) for place, voxels in of.items()} for name, of in seen.items()}
    return with_rows(weights, rows, overlapping=plan.overlapping)


def _numbers(plan: Plan, index: int) -> tuple[list[int], list[int]]:
    """The numbers of prepared labels with which a class is there, and with which nobody knows."""
    unknown = [number for number, code in enumerate(plan.label_codes, len(plan.classes) + 1) if index in code.unknown]
    return [number for number, there in plan.present_classes().items() if index in there], unknown


def _one_model(path: Path) -> ModelPackage:
    members = load_members(path)
    if len(members) > 1:
        folds = path / "folds"
        own = folds / "0" if folds.is_dir() else "JOB/folds/0"
        one = own if "imported" not in members[0].training else "fold_0 in nnU-Net's folder"
        raise ModelError(
            f"{path} is an ensemble of {len(members)} models, and a training begins as one. Take one fold of it, such "
            f"as {one}."
        )
    return members[0]


def _name(path: Path, package: ModelPackage) -> str:
    """What people call a model: the name of its job, or of its file, or of what it was trained on elsewhere."""
    imported = package.training.get("imported")
    if isinstance(imported, dict):
        return ", ".join(str(imported[key]) for key in ("dataset", "configuration") if imported.get(key)) or path.name
    job = path.parent if path.name == "model" else path
    return f"{job.parent.parent.name}, fold {job.name}" if job.parent.name == "folds" else job.name


def _margin(share: float) -> float:
    """The logit that a new class is below the background: the odds of its voxels, within reason."""
    share = min(max(share, RAREST), MOST_COMMON)
    return math.log((1 - share) / share)


def _day(path: Path) -> str:
    """When a model of an earlier version, or of another program, was written, YYYY-MM-DD."""
    file = written_file(path)
    assert file is not None, "it was read"
    return time.strftime("%Y-%m-%d", time.localtime(file.stat().st_mtime))
