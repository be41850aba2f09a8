"""What of a trained model does not fit a training that is to begin as it, in words that say what would fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.config.network_settings import edges, network_settings, requested_dims
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import NetworkConfig, TrainConfig
from MedSegTrainerLib.data.checks.fingerprint import ChannelIntensities, Fingerprint, along_slice_axis
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.model.data_profile import SCHEMA_VERSION
from MedSegTrainerLib.model.origins import Origins, channel_origins, class_origins
from MedSegTrainerLib.planning.shapes import Triple

SPACING_FACTOR = 1.5
DECIDED_BY_DATA = ("in_channels", "out_channels", "num_classes")
NO_WEIGHTS = ("dropout",)  # settings that a network with the same weights can have as they are wanted
OF_SIZES = ("img_size",)


@dataclass(frozen=True, kw_only=True)
class StartModel:
    """A trained model as planning sees it. data: of ``data_profile.describe``, {} where nobody knows. step_seconds: how
    long a step of its training took, None where nobody knows."""

    name: str
    plan: Plan
    data: Mapping[str, Any]
    step_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Misfits:
    """What does not fit, a line each, by what is planned anew for it where the settings say so (``start.adapt``)."""

    network: list[str]
    grid: list[str]
    channels: list[str]
    normalization: list[str]


def find_misfits(start: StartModel, fingerprint: Fingerprint, config: TrainConfig) -> Misfits:
    """Raises ConfigError with all misfits, unless the settings adapt the model; wrong names are never adapted."""
    names = [channel.name for channel in fingerprint.channels]
    channels, missing = channels_of(start, names, config.start.adapt)
    _, unknown = class_origins(start.plan.class_names, [item.name for item in fingerprint.classes], config.start.rename)
    misfits = Misfits(
        network=[*_dims_misfits(start, fingerprint, config), *_setting_misfits(start, config)],
        grid=[*_spacing_misfits(start, fingerprint, config), *_size_misfits(start, config)],
        channels=_channel_misfits(start, missing, fingerprint),
        normalization=_normalization_misfits(start, channels, fingerprint, config),
    )
    lines = [line for part in (misfits.network, misfits.grid, misfits.channels, misfits.normalization) for line in part]
    if lines and not config.start.adapt:
        unknown = [
            *unknown,
            *lines[:-1],
            f"{lines[-1]} Or --adapt (start.adapt = true): it goes on with what can be kept.",
        ]
    if unknown:
        raise ConfigError(unknown)
    return misfits


def origins_of(start: StartModel, channels: Sequence[str], classes: Sequence[str], config: TrainConfig) -> Origins:
    """What the channels and classes of a training come from."""
    sources, _ = class_origins(start.plan.class_names, classes, config.start.rename)
    return Origins(classes=sources, channels=channels_of(start, channels, config.start.adapt)[0])


def channels_of(start: StartModel, names: Sequence[str], adapt: bool) -> tuple[tuple[int | None, ...], list[str]]:
    """``channel_origins``; where no name is the same and that shall not matter, places count."""
    origins, missing = channel_origins(start.plan.channel_names, names)
    if adapt and all(source is None for source in origins):
        count = len(start.plan.channel_names)
        origins = tuple(place if place < count else None for place in range(len(names)))
        missing = list(start.plan.channel_names[len(names) :])
    return origins, missing


def in_order(patch: Sequence[int], old: Plan) -> Triple:
    """A patch (z, y, x) in the order of a model's axes; one slice in 2D."""
    z, y, x = (patch["zyx".index(axis)] for axis in old.axes)
    return (1 if old.dims == 2 else z), y, x


def _dims_misfits(start: StartModel, fingerprint: Fingerprint, config: TrainConfig) -> list[str]:
    old = start.plan
    if old.dims == 3 and fingerprint.dims == 2:
        return [
            f"start.model: {start.name} sees volumes, and the images have one slice. A model of 2D images would fit."
        ]
    if old.neighbour_slices and fingerprint.dims == 2:
        return [
            f"start.model: {start.name} sees each slice with {old.neighbour_slices} on each side, and the images have "
            "one. A model of 2D images would fit."
        ]
    largest = start.data.get("size_voxels") if start.data.get("schema_version") == SCHEMA_VERSION else None
    was_flat = largest is not None and largest[2][0] == 1
    if old.dims == 2 and fingerprint.dims == 3 and was_flat and requested_dims(config.network) != 2:
        return [
            f"start.model: {start.name} was trained on 2D images, and the data are volumes. A model of volumes would "
            "fit, or go slice by slice: --set dims=2."
        ]
    return []


def _setting_misfits(start: StartModel, config: TrainConfig) -> list[str]:
    """Settings of the network that the model contradicts."""
    old, wanted = start.plan, config.network
    has: dict[str, Any] = {
        **network_settings(old.architecture, old.network),
        "type": old.architecture,
        "dims": old.dims,
        "dimension": f"{old.dims}d",
        "neighbour_slices": old.neighbour_slices,
    }
    lines = []
    for item in fields(NetworkConfig):
        value = getattr(wanted, item.name)
        if value == item.default or item.name in (*DECIDED_BY_DATA, *NO_WEIGHTS, *OF_SIZES):
            continue
        if has.get(item.name) != value:
            is_there = f"{item.name} {has[item.name]}" if item.name in has else f"no {item.name}"
            lines.append(f"network.{item.name} = {value}: {start.name} has {is_there}. Leave it out, to keep it.")
    return lines


def _spacing_misfits(start: StartModel, fingerprint: Fingerprint, config: TrainConfig) -> list[str]:
    """A grid that is more than 1.5 times finer or coarser than what the model saw."""
    old = start.plan
    if old.image_size is not None:
        return []
    seen = [0, 1, 2] if old.dims == 3 else [1, 2]
    if config.data.spacing != "auto":
        given = np.array([config.data.spacing["zyx".index(axis)] for axis in old.axes])
        if _is_off(given, np.array(old.spacing), np.array(old.spacing), seen):
            return [
                f"data.spacing = {config.data.spacing}: {start.name} sees voxels of {_mm(old.spacing)} mm "
                f"({', '.join(old.axes)}), more than {SPACING_FACTOR:g} times off. Leave it out, to keep them."
            ]
        return []
    median = np.median(along_slice_axis(fingerprint, old.slice_axis).spacings, axis=0)
    low = high = np.array(old.spacing)
    if start.data.get("schema_version") == SCHEMA_VERSION:
        order = [0, 1, 2] if old.preparation else ["zyx".index(axis) for axis in old.axes]
        low, high = (np.array(start.data["spacing_mm"][row])[order] for row in (0, 2))
    elif old.preparation is not None:  # whose axes are those of the files, in whatever order
        low = high = np.sort(old.spacing[3 - old.dims :])
        median, seen = np.sort(median)[: old.dims], [*range(old.dims)]
    if not _is_off(median, low, high, seen):
        return []
    was = _mm(low) if np.allclose(low, high) else f"{_mm(low)} to {_mm(high)}"
    axes = "the finest first" if old.preparation and not start.data else ", ".join(old.axes)
    return [
        f"start.model: {start.name} was trained on voxels of {was} mm ({axes}), and the images have "
        f"{_mm(median)} mm, more than {SPACING_FACTOR:g} times off. A model of such images would fit, or these "
        "resampled."
    ]


def _size_misfits(start: StartModel, config: TrainConfig) -> list[str]:
    """Sizes and slices that are set to others than the model can take."""
    old, data = start.plan, config.data
    lines = []
    if data.slice_axis not in ("auto", old.slice_axis):
        lines.append(
            f"data.slice_axis = {data.slice_axis}: {start.name} sees slices along {old.slice_axis}. Leave it out."
        )
    size = old.image_size if old.dims == 2 else old.patch_size
    is_fixed = old.dims == 2 or ARCHITECTURES[old.architecture].is_fixed
    for setting, value in (("data.image_size", data.image_size), ("network.img_size", config.network.img_size)):
        if value != "auto" and is_fixed and (size is None or edges(value, old.dims) != list(size)):
            sees = _times(size) if size else f"voxels of {_mm(old.spacing)} mm"
            lines.append(f"{setting} = {value}: {start.name} sees {sees}. Leave it out, to keep that.")
    return [*lines, *([] if data.patch_size == "auto" else _patch_misfits(start, data.patch_size))]


def _patch_misfits(start: StartModel, wanted: Sequence[int]) -> list[str]:
    old, patch = start.plan, in_order(wanted, start.plan)
    if ARCHITECTURES[old.architecture].is_fixed and patch != old.patch_size:
        return [
            f"data.patch_size = {wanted}: a {old.architecture} has a weight for each place of its patch, and that of "
            f"{start.name} is {_times(old.patch_size)}. Leave it out."
        ]
    if any(edge % step for edge, step in zip(patch, old.divisor, strict=True)):
        return [
            f"data.patch_size = {wanted}: {start.name} takes multiples of {_times(old.divisor)} "
            f"({', '.join(old.axes)}). Give such a patch, or leave it out."
        ]
    return []


def _channel_misfits(start: StartModel, missing: Sequence[str], fingerprint: Fingerprint) -> list[str]:
    if not missing:
        return []
    there = ", ".join(channel.name for channel in fingerprint.channels)
    return [
        f"start.model: {start.name} needs the channel{'s' if len(missing) > 1 else ''} {', '.join(missing)}, and the "
        f"data have {there}. Add it to the images, or give it this name in dataset.json where it has another one."
    ]


def _normalization_misfits(
    start: StartModel, channels: Sequence[int | None], fingerprint: Fingerprint, config: TrainConfig
) -> list[str]:
    wanted = config.data.normalization_type if config.data.normalize else "none"
    lines = []
    for channel, source in zip(fingerprint.channels, channels, strict=True):
        method = None if source is None else start.plan.normalization[source].method
        if method is None or method == wanted:
            continue
        if wanted != "auto":
            setting = f"data.normalization_type = {wanted}" if config.data.normalize else "data.normalize = false"
            lines.append(f"{setting}: {start.name} has '{method}' for {channel.name}. Leave it out, to keep it.")
        elif method == "ct" and not channel.is_ct:
            lines.append(_not_ct(start, channel))
    return lines


def _not_ct(start: StartModel, channel: ChannelIntensities) -> str:
    return (
        f"start.model: {start.name} takes {channel.name} for CT, and its intensities, {channel.low:.4g} to "
        f"{channel.high:.4g}, are none. A model of such images would fit; if it is CT, --set normalization_type=ct."
    )


def _is_off(values: np.ndarray, low: np.ndarray, high: np.ndarray, axes: Sequence[int]) -> bool:
    outside = (values < low / SPACING_FACTOR * (1 - 1e-6)) | (values > high * SPACING_FACTOR * (1 + 1e-6))
    return bool(outside[list(axes)].any())


def _mm(values: Sequence[float] | np.ndarray) -> str:
    return _times(f"{mm:.3g}" for mm in values)


def _times(values: Any) -> str:
    return " x ".join(str(value) for value in values)
