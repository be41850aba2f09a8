"""From fingerprint, configuration and device to a plan: every choice is made here, with its reason."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from MedSegTrainerLib.config.architectures import PLANNED
from MedSegTrainerLib.config.plan import AXES, LabelCode, Normalization, Plan
from MedSegTrainerLib.config.plan_parsing import refuse_wrong_plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.checks.drawn_classes import drawn_text
from MedSegTrainerLib.data.checks.fingerprint import ChannelIntensities, Fingerprint, along_slice_axis
from MedSegTrainerLib.data.checks.laterality import why_not_mirror
from MedSegTrainerLib.data.samples.cache import choose_place
from MedSegTrainerLib.data.samples.overlapping_indices import overlap_codes
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.errors import ConfigError, some
from MedSegTrainerLib.guide.tables import choose_batch
from MedSegTrainerLib.hardware.device import describe
from MedSegTrainerLib.inference.window_layout import layout_of
from MedSegTrainerLib.planning.network import plan_network
from MedSegTrainerLib.planning.optimization import learning_choices
from MedSegTrainerLib.planning.schedule import fit_to_time, share_for_time
from MedSegTrainerLib.planning.shapes import Triple, median_size, patch_voxels
from MedSegTrainerLib.planning.start_misfits import StartModel
from MedSegTrainerLib.planning.start_plan import Start, begin, keep, kept_flip_axes, new_classes
from MedSegTrainerLib.planning.start_speed import as_before
from MedSegTrainerLib.planning.step_memory import refuse_too_large

BATCH_VOXELS_CPU = 200_000
BATCH_VOXELS_GPU = 4_500_000
SEEN = 0.5  # of the median volume, by a patch that is smaller because there is little time
FOREGROUND, FOR_NEW_CLASSES = 0.33, 0.8  # share of patches around a voxel of a class
EPOCH_SAMPLES = 100  # small data sets are seen several times in an epoch
MOST_SAMPLES = 4  # of a volume in an epoch, where the number of epochs is given

Reasons = dict[str, str]


def make_plan(
    fingerprint: Fingerprint,
    config: TrainConfig,
    split: Split,
    device: torch.device,
    seconds_left: float | None,
    devices: int = 1,
    model: StartModel | None = None,
) -> Plan:
    """Resolves every ``auto``; measures steps on the device, so this takes seconds.

    ``seconds_left`` is what remains of the time budget, None without one. devices: how many like this one share each
    batch. model: that the training begins as. Raises ConfigError where settings contradict the data, or the model does
    not fit them.
    """
    start = None
    if model is not None:
        start, config = begin(model, fingerprint, config)

    def plan_with(share: float) -> Plan:
        return _unmeasured(fingerprint, config, split, device, devices, share, start)

    plan = plan_with(1.0)
    refuse_too_large(plan, config, device)
    size = median_size(along_slice_axis(fingerprint, plan.axes[0]), plan.spacing, 3)
    if seconds_left is not None and start is None and _may_shrink(plan, config, size):
        smallest = SEEN * math.prod(size[3 - plan.dims :]) / patch_voxels(plan.dims, device)
        share, reason = share_for_time(plan_with, smallest, config, device, seconds_left, devices)
        plan = plan_with(share)
        plan.reasons["patch_size"] += reason
    windows = len(split.val) * len(layout_of(plan).starts(size, plan.patch_size, config.data.overlap))
    refuse_wrong_plan(plan)  # now, not when the model of it is read
    known = as_before(plan, model, config, device, seconds_left) if model is not None and devices == 1 else None
    return fit_to_time(
        plan,
        config,
        device,
        train_cases=len(split.train),
        validation_windows=windows,
        seconds_left=seconds_left,
        devices=devices,
        known=known,
    )


def _may_shrink(plan: Plan, config: TrainConfig, size: Triple) -> bool:
    """Whether the patch is ours to choose by the time there is, and covers volumes of ``size``: where it sees only a
    part of them, as of organs that are told apart by their places, every voxel less costs more than it saves."""
    free = (config.data.patch_size, config.data.image_size, config.network.img_size, config.trainer.epochs)
    covers = all(p >= n for p, n in list(zip(plan.patch_size, size, strict=True))[3 - plan.dims :])
    return plan.architecture == PLANNED and free == ("auto",) * len(free) and covers


def _unmeasured(
    fingerprint: Fingerprint,
    config: TrainConfig,
    split: Split,
    device: torch.device,
    devices: int,
    share: float,
    start: Start | None,
) -> Plan:
    """All that needs no measuring. share: of the voxels that a patch may have on the device, and a batch."""
    device_text = describe(device) + (f", {devices} of them" if devices > 1 else "")
    reasons: Reasons = {"device": device_text, "split": split.reason}
    chosen = plan_network(fingerprint, config, device, reasons, len(split.train), share)
    if fingerprint.overlap:
        reasons["overlapping"] = _overlap_reason(fingerprint)
    if fingerprint.labelled_part:
        reasons["ignore_label"] = (
            f"{fingerprint.labelled_part}: every patch has some of that, and what nobody labelled counts nowhere"
        )
    normalization = _normalization(fingerprint, config, reasons)
    if start is not None:
        chosen, normalization = keep(start, chosen, normalization, fingerprint, config, reasons)
    dims, patch, architecture = chosen.dims, chosen.patch_size, chosen.architecture
    size = median_size(along_slice_axis(fingerprint, chosen.axes[0]), chosen.spacing, 3)
    batch = _batch_size(config, architecture, dims, patch, device, reasons, devices, share)
    samples = _samples_per_volume(config, len(split.train), patch, size, reasons)
    bytes_needed = fingerprint.cases * int(np.prod(size)) * (4 * len(normalization) + 1)
    cache, reasons["cache"] = choose_place(bytes_needed, device, devices)
    if config.data.cache != "auto":
        cache, reasons["cache"] = config.data.cache, "set by the configuration"
    return Plan(
        **vars(chosen),
        batch_size=batch,
        samples_per_volume=samples,
        normalization=normalization,
        channel_names=tuple(channel.name for channel in fingerprint.channels),
        classes=fingerprint.classes,
        ignore_label=fingerprint.ignore_label,
        label_codes=_label_codes(fingerprint, reasons),
        flip_axes=(
            _flip_axes(config, dims, chosen.axes[0], fingerprint, reasons)
            if start is None or chosen.preparation is None
            else kept_flip_axes(start, config, _sides(fingerprint), reasons)
        ),
        sides=_sides(fingerprint),
        overlapping=fingerprint.overlapping,
        foreground_oversampling=_oversampling(config, fingerprint, start, reasons),
        cache=cache,
        steps_per_epoch=max(1, len(split.train) * samples // (batch * config.trainer.gradient_accumulation_steps)),
        reasons=reasons,
        **learning_choices(fingerprint, config, architecture, chosen.network, dims, len(split.train), reasons),
        **_PLACEHOLDERS,
    )


def _overlap_reason(fingerprint: Fingerprint) -> str:
    if not fingerprint.overlapping:
        return fingerprint.overlap
    several = sum(fingerprint.combinations.values())
    return f"{fingerprint.overlap}; {several} voxels have several classes, and each class is learned against all else"


_PLACEHOLDERS: dict[str, Any] = {  # settled by fit_to_time, which needs a plan to measure
    "mixed_precision": False,
    "channels_last": False,
    "epochs": 1,
    "warmup_epochs": 0.0,
    "validation_interval": 1,
}


def _label_codes(fingerprint: Fingerprint, reasons: Reasons) -> tuple[LabelCode, ...]:
    """A number of prepared labels for each set of classes that nobody looked for somewhere."""
    drawn = {
        name: drawn_text(count, fingerprint.cases)
        for name, count in fingerprint.cases_drawn.items()
        if count < fingerprint.cases
    }
    if fingerprint.unknown:
        listed = some([f"{name}: {text}" for name, text in drawn.items()]) or "drawn in all that train or validate"
        reasons["unknown_classes"] = f"{listed}: marginal loss, as elsewhere a voxel without class may be one of them"
    if fingerprint.overlapping:
        return overlap_codes(fingerprint.combinations, len(fingerprint.classes), fingerprint.unknown)
    return tuple(LabelCode(unknown=unknown) for unknown in fingerprint.unknown)


def _normalization(fingerprint: Fingerprint, config: TrainConfig, reasons: Reasons) -> tuple[Normalization, ...]:
    if not config.data.normalize:
        reasons["normalization"] = "switched off by the configuration"
        return tuple(Normalization(method="none") for _ in fingerprint.channels)
    requested = config.data.normalization_type
    descriptions = []
    chosen = []
    for channel in fingerprint.channels:
        if requested == "ct" or (requested == "auto" and channel.is_ct):
            chosen.append(_ct(channel))
            low, high = channel.percentile_00_5, channel.percentile_99_5
            descriptions.append(
                f"{channel.name}: CT, clipped to {low:.0f}..{high:.0f} (0.5-99.5 % of the labelled voxels)"
            )
        else:
            method = "zscore" if requested == "auto" else requested
            chosen.append(Normalization(method=method))
            descriptions.append(f"{channel.name}: {method}, as intensities have no fixed scale")
    reasons["normalization"] = "; ".join(descriptions)
    return tuple(chosen)


def _ct(channel: ChannelIntensities) -> Normalization:
    return Normalization(
        method="ct", low=channel.percentile_00_5, high=channel.percentile_99_5, mean=channel.mean, std=channel.std
    )


def _batch_size(
    config: TrainConfig,
    architecture: str,
    dims: int,
    patch: Triple,
    device: torch.device,
    reasons: Reasons,
    devices: int,
    share: float,
) -> int:
    """Patches of a batch, of all devices together."""
    if config.network.norm == "batch" and config.data.batch_size == 1:
        raise ConfigError(
            ["network.norm = 'batch' and data.batch_size = 1: its statistics need more than one patch. Use 'group'."]
        )
    if config.data.batch_size != "auto":
        reasons["batch_size"] = "set by the configuration"
        if config.data.batch_size < devices:
            setting = f"data.batch_size = {config.data.batch_size} is that of all {devices} devices together"
            raise ConfigError([f"{setting}: give at least {devices}, or use fewer devices."])
        return config.data.batch_size
    voxels = share * (BATCH_VOXELS_GPU if device.type == "cuda" else BATCH_VOXELS_CPU)
    fitting = int(voxels // np.prod(patch))
    if architecture != PLANNED:
        batch, reasons["batch_size"] = choose_batch(architecture, dims, fitting)
        batch = max(2, batch) if config.network.norm == "batch" else batch
    else:
        batch = min(16, max(2, fitting))
        reasons["batch_size"] = f"patches of {np.prod(patch)} voxels on {device.type}; instance norm needs no more"
    if devices > 1:
        reasons["batch_size"] = f"{batch} on each of {devices} devices: {reasons['batch_size']}"
    return batch * devices


def _oversampling(config: TrainConfig, fingerprint: Fingerprint, start: Start | None, reasons: Reasons) -> float:
    """Share of patches around a voxel of a class."""
    given, new = config.data.foreground_oversampling, new_classes(start, fingerprint, config) if start else []
    if given != "auto":
        reasons["foreground_oversampling"] = "set by the configuration"
        return given
    if new:
        reasons["foreground_oversampling"] = (
            f"most patches show a class, since the model has to learn {', '.join(new)}: with a third of them larynx "
            "was not found at all after three minutes of 10 head-neck cases, and with four fifths at a Dice of 0.6"
        )
    return FOR_NEW_CLASSES if new else FOREGROUND


def _samples_per_volume(config: TrainConfig, cases: int, patch: Triple, volume: Triple, reasons: Reasons) -> int:
    """Patches of a volume in an epoch; ``volume`` is the median one in voxels."""
    if config.data.samples_per_volume != "auto":
        reasons["samples_per_volume"] = "set by the configuration"
        return config.data.samples_per_volume
    if config.trainer.epochs != "auto":  # then an epoch is what it is in the guide: one pass over the data
        seen = np.minimum(patch, volume)
        samples = int(min(MOST_SAMPLES, np.prod(volume) // np.prod(seen)))
        reasons["samples_per_volume"] = (
            f"an epoch is one pass over the data, and a patch sees {np.prod(seen) / np.prod(volume):.0%} of a volume"
        )
        return samples
    samples = max(1, -(-EPOCH_SAMPLES // cases))
    reasons["samples_per_volume"] = f"{cases} cases make an epoch of about {max(EPOCH_SAMPLES, cases)} patches"
    return samples


def _flip_axes(
    config: TrainConfig, dims: int, slice_axis: str, fingerprint: Fingerprint, reasons: Reasons
) -> tuple[int, ...]:
    """Axes of arrays; a slice has none along which slices lie one after the other."""
    letters = {name: axis for axis, name in enumerate(AXES[slice_axis]) if dims == 3 or axis > 0}
    sides = _sides(fingerprint)
    swaps = sides.get("x")
    if config.data.flip_axes != "auto":
        axes = sorted({letters[name] for name in config.data.flip_axes if name in letters})
        against = [sides[name] for name in config.data.flip_axes if name in sides]
        warning = f", although {'; '.join(against)}" if against else ""
        reasons["flip_axes"] = f"set by the configuration{warning}"
        return tuple(axes)
    if swaps and swaps == why_not_mirror(item.name for item in fingerprint.classes):
        reasons["flip_axes"] = f"none: {swaps}"
        return ()
    usual, reason = (
        ("yx", "2D images have no top or left side")
        if fingerprint.dims == 2
        else ("x", "anatomy is alike left and right, and never upside down or back to front")
    )
    against = [f"not along {name}: {sides[name]}" for name in usual if name in sides]
    across = [f"not along {name}: slices lie one after the other along it" for name in usual if name not in letters]
    reasons["flip_axes"] = "; ".join([*across, *against]) or reason
    return tuple(letters[name] for name in usual if name in letters and name not in sides)


def _sides(fingerprint: Fingerprint) -> dict[str, str]:
    """Axes to what a mirror image along them would do to the classes, by their names and by where they lie."""
    by_place = {"zyx"[axis]: f"{text}, and mirroring would exchange them" for axis, text in fingerprint.sides.items()}
    by_name = why_not_mirror(item.name for item in fingerprint.classes)
    return {**by_place, **({"x": by_name} if by_name else {})}
