"""What of a trained model a training that begins as it keeps: network, grid, patch and normalisation, with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from MedSegTrainerLib.config.architectures import PLANNED
from MedSegTrainerLib.config.network_settings import network_settings
from MedSegTrainerLib.config.plan import Normalization
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.checks.fingerprint import Fingerprint
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.model.origins import channel_text, class_text
from MedSegTrainerLib.planning.network import NetworkPlan
from MedSegTrainerLib.planning.shapes import Triple, round_up
from MedSegTrainerLib.planning.start_misfits import Misfits, StartModel, find_misfits, in_order, origins_of
from MedSegTrainerLib.training.start_weights import unfitting

MOST_NAMED = 6
Reasons = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Start:
    """A model to begin as, and what of it does not fit the data."""

    model: StartModel
    misfits: Misfits

    @property
    def has_network(self) -> bool:
        """Whether the network is the model's."""
        return not self.misfits.network


def begin(model: StartModel, fingerprint: Fingerprint, config: TrainConfig) -> tuple[Start, TrainConfig]:
    """How a training begins, and its settings with the model's network as if somebody had asked for it.

    Raises ConfigError with everything that does not fit.
    """
    start, old = Start(model=model, misfits=find_misfits(model, fingerprint, config)), model.plan
    if not start.has_network:
        return start, config
    asked: dict[str, Any] = {"type": old.architecture, "dims": old.dims, "neighbour_slices": old.neighbour_slices}
    if old.architecture == PLANNED:
        asked["base_channels"] = old.network["features"][0]  # nothing makes it wider
    return start, replace(config, network=replace(config.network, **asked))


def new_classes(start: Start, fingerprint: Fingerprint, config: TrainConfig) -> list[str]:
    """Names of the classes that the model has to learn beside those it knows; none where it knows nothing."""
    channels, classes = ([item.name for item in items] for items in (fingerprint.channels, fingerprint.classes))
    origins = origins_of(start.model, channels, classes, config)
    new = [name for name, sources in zip(classes, origins.classes, strict=True) if not sources]
    return new if start.has_network and any(origins.classes) else []


def keep(
    start: Start,
    planned: NetworkPlan,
    normalization: Sequence[Normalization],
    fingerprint: Fingerprint,
    config: TrainConfig,
    reasons: Reasons,
) -> tuple[NetworkPlan, tuple[Normalization, ...]]:
    """What was planned from the data alone with what the model has instead; says why."""
    model, misfits = start.model, start.misfits
    channels, classes = ([item.name for item in items] for items in (fingerprint.channels, fingerprint.classes))
    origins = origins_of(model, channels, classes, config)
    reasons["start_from"] = model.name
    reasons["start_channels"] = channel_text(model.plan.channel_names, channels, origins)
    reasons["start_classes"] = class_text(model.plan.class_names, classes, origins)
    if fingerprint.overlapping != model.plan.overlapping:
        change = (
            "they may overlap now, so each keeps its odds against the background"
            if fingerprint.overlapping
            else "they exclude each other now, beside a background that is 0"
        )
        reasons["start_classes"] += f"; {change}"
    chosen = _kept_network(model, planned, config, reasons) if start.has_network else planned
    if misfits.network or misfits.grid:
        chosen = _new_grid(chosen, planned)
    else:
        chosen = _kept_grid(model, chosen, planned, config, reasons)
    if misfits.normalization:
        values = tuple(normalization)
    else:
        values = _kept_normalization(model, origins.channels, normalization, reasons)
    if chosen.preparation is None:
        values = tuple(replace(entry, masked=False) for entry in values)
    parts = {"network": misfits.network, "spacing": misfits.grid, "normalization": misfits.normalization}
    for name, lines in parts.items():
        if lines:
            reasons[name] += f"; not kept: {' '.join(line.removeprefix('start.model: ') for line in lines)}"
    reasons["start_weights"] = f"{_weights_text(model, chosen)}; {_learning_text(config.start.frozen_share)}"
    return chosen, values


def _kept_network(model: StartModel, planned: NetworkPlan, config: TrainConfig, reasons: Reasons) -> NetworkPlan:
    """The network of the model for the channels and classes of the data."""
    old = model.plan
    network = {**old.network, **{name: planned.network[name] for name in ("in_channels", "out_channels")}}
    kept = f"kept: that of {model.name}"
    reasons |= dict.fromkeys(("network", "dims", *network_settings(old.architecture, network)), kept)
    if old.neighbour_slices:
        reasons["neighbour_slices"] = kept
    if config.network.dropout and "dropout" in network:
        network["dropout"], reasons["dropout"] = config.network.dropout, "set by the configuration"
    return replace(planned, divisor=old.divisor, architecture=old.architecture, network=network)


def _new_grid(chosen: NetworkPlan, planned: NetworkPlan) -> NetworkPlan:
    """Spacing and patch of the data, for a network whose patches are multiples of its own divisor."""
    patch = [round_up(edge, step) for edge, step in zip(planned.patch_size, chosen.divisor, strict=True)]
    return _with_patch(chosen, (patch[0], patch[1], patch[2]))


def _kept_grid(
    model: StartModel, chosen: NetworkPlan, planned: NetworkPlan, config: TrainConfig, reasons: Reasons
) -> NetworkPlan:
    """Spacing and patch of the model, but for what is set."""
    old, data = model.plan, config.data
    patch, spacing = old.patch_size, old.spacing
    reasons["spacing"] = f"kept: what {model.name} sees"
    reasons["patch_size"] = f"kept: that of {model.name}"
    if old.image_size:
        reasons["image_size"] = f"kept: what {model.name} sees"
    if "slice_axis" in reasons:
        reasons["slice_axis"] = f"kept: that of {model.name}"
    if data.spacing != "auto":
        spacing = planned.spacing
        reasons["spacing"] = (
            f"set by the configuration; {model.name} sees {' x '.join(f'{mm:.3g}' for mm in old.spacing)} mm"
        )
    if data.patch_size != "auto":
        patch = in_order(data.patch_size, old)
        reasons["patch_size"] = f"set by the configuration; that of {model.name} is {list(old.patch_size)}"
    elif old.dims == 3 and (data.image_size, config.network.img_size) != ("auto", "auto"):
        edges = [round_up(edge, step) for edge, step in zip(planned.patch_size, old.divisor, strict=True)]
        patch = edges[0], edges[1], edges[2]
        reasons["patch_size"] = f"set by the configuration; that of {model.name} is {list(old.patch_size)}"
    if old.preparation is not None:
        reasons["preparation"] = f"kept: axes, cropping and resampling as {model.name} has them"
    kept = replace(
        chosen,
        spacing=spacing,
        image_size=old.image_size,
        slice_axis=old.slice_axis,
        preparation=old.preparation,
    )
    return _with_patch(kept, patch)


def _with_patch(chosen: NetworkPlan, patch: Triple) -> NetworkPlan:
    has_size = "img_size" in chosen.network
    network = {**chosen.network, "img_size": list(patch[3 - chosen.dims :])} if has_size else chosen.network
    return replace(chosen, patch_size=patch, network=network)


def _kept_normalization(
    model: StartModel, channels: Sequence[int | None], planned: Sequence[Normalization], reasons: Reasons
) -> tuple[Normalization, ...]:
    """That of the model for each of its channels, and the planned one for the others."""
    of_new = f", and of what is new: {reasons['normalization']}" if None in channels else ""
    reasons["normalization"] = f"kept: that of {model.name}{of_new}"
    return tuple(
        own if source is None else model.plan.normalization[source]
        for own, source in zip(planned, channels, strict=True)
    )


def kept_flip_axes(start: Start, config: TrainConfig, sides: Mapping[str, str], reasons: Reasons) -> tuple[int, ...]:
    """Axes of patches that may be mirrored, where arrays have the axes of files, so that nobody knows which is left."""
    plan, wanted = start.model.plan, config.data.flip_axes
    if wanted != "auto":
        reasons["flip_axes"] = f"set by the configuration: axes of the files, {', '.join(plan.axes)}"
        axes = {axis for axis, name in enumerate(plan.axes) if name in wanted}
        return tuple(sorted(axes - ({0} if plan.dims == 2 else set())))
    if sides:
        reasons["flip_axes"] = f"none: {'; '.join(sides.values())}"
        return ()
    reasons["flip_axes"] = f"kept: those of {start.model.name}"
    return plan.flip_axes


def _learning_text(frozen_share: float) -> str:
    if frozen_share:
        span = f"the first {frozen_share:.0%} of the training"
        return f"for {span} nothing but the last layer learns, and the first one of new channels"
    return "they learn from the first step, as holding all but the last layer at first brought nothing"


def _weights_text(model: StartModel, chosen: NetworkPlan) -> str:
    """How much of the weights is kept; raises ConfigError where it is no layer."""
    old = model.plan
    new, kept, count = unfitting(old, chosen.architecture, chosen.network)
    if kept == 0:
        raise ConfigError(
            [
                f"start.model: no layer of {model.name} ({old.architecture}, {old.dims}D) fits into a "
                f"{chosen.architecture} in {chosen.dims}D. Begin from nothing: leave --start-from out."
            ]
        )
    if not new:
        return "all weights are kept"
    more = f" and {len(new) - MOST_NAMED} more" if len(new) > MOST_NAMED else ""
    return f"{kept / count:.0%} of the weights are kept; new are {', '.join(new[:MOST_NAMED])}{more}"
