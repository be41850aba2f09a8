"""The network and what it sees at once: axes, grid, patch and parameters, from data, settings and device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from MedSegTrainerLib.config.architectures import ARCHITECTURES, NNUNET, SMALLEST_MAP_VOXELS
from MedSegTrainerLib.config.network_settings import (
    architecture_name,
    chosen_settings,
    edges,
    requested_classes,
    requested_dims,
)
from MedSegTrainerLib.config.plan import AXES, Preparation, axis_order
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.checks.fingerprint import Fingerprint, along_slice_axis
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.guide.network_choice import Situation, objection, recommended_network
from MedSegTrainerLib.hardware.device import memory_bytes
from MedSegTrainerLib.hardware.main_memory import available_memory
from MedSegTrainerLib.planning.nnunet_preparation import REASON, nnunet_preparation
from MedSegTrainerLib.planning.nnunet_topology import nnunet_parameters, nnunet_topology
from MedSegTrainerLib.planning.shapes import (
    Spacing,
    Topology,
    Triple,
    choose_fixed_patch,
    choose_patch,
    choose_spacing,
    choose_topology,
    median_size,
    network_parameters,
    patch_voxels,
    round_up,
    topology_for_patch,
)

Reasons = dict[str, str]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """The part of a Plan that says what the network is and what it sees; the fields are those of ``Plan``."""

    dims: int
    spacing: Spacing
    slice_axis: str
    image_size: tuple[int, int] | None
    patch_size: Triple
    divisor: Triple
    neighbour_slices: int
    architecture: str
    network: dict[str, Any]
    preparation: Preparation | None = None

    @property
    def axes(self) -> str:
        """As of ``Plan``."""
        return axis_order(self.slice_axis, self.preparation)


def plan_network(
    fingerprint: Fingerprint,
    config: TrainConfig,
    device: torch.device,
    reasons: Reasons,
    cases: int | None = None,
    share: float = 1.0,
) -> NetworkPlan:
    """Chooses network, grid and patch, and adds why; raises ConfigError where settings contradict the data.

    ``cases`` train, all of the fingerprint by default. share: of the voxels that a patch of the planned network may
    have on the device.
    """
    name = architecture_name(config.network)
    dims = _dims(fingerprint, config, reasons)
    slice_axis = _slice_axis(fingerprint, config, dims, reasons)
    fingerprint = along_slice_axis(fingerprint, slice_axis)
    reasons["network"] = _network_reason(
        fingerprint, config, dims, device, fingerprint.cases if cases is None else cases
    )
    image_size = config.network.img_size if config.data.image_size == "auto" else config.data.image_size
    image_edges = None if image_size == "auto" else edges(image_size, dims)
    problems = _size_problems(config, dims, image_edges)
    if problems:
        raise ConfigError(problems)
    box = (image_edges[0], image_edges[1]) if image_edges and dims == 2 else None
    spacing = _spacing(fingerprint, config, dims, slice_axis, image_edges, device, reasons)
    patch, topology = _patch(fingerprint, config, dims, slice_axis, spacing, image_edges, device, reasons, share)
    if name in NNUNET and topology and len(topology.strides) < 2:
        raise ConfigError([f"network.type = {name}: {_no_levels(patch)}"])
    step = ARCHITECTURES[name].divisor or 1
    divisor = topology.divisor if topology else (1 if dims == 2 else step, step, step)
    preparation = None
    if name in NNUNET and fingerprint.dims == 3 and box is None and not config.network.neighbour_slices:
        preparation, reasons["preparation"] = nnunet_preparation(slice_axis), REASON
    return NetworkPlan(
        dims=dims,
        spacing=spacing,
        slice_axis="z" if preparation else slice_axis,
        image_size=box,
        patch_size=patch,
        divisor=divisor,
        neighbour_slices=config.network.neighbour_slices,
        architecture=name,
        network=_parameters(fingerprint, config, dims, patch, topology, reasons),
        preparation=preparation,
    )


def _network_reason(fingerprint: Fingerprint, config: TrainConfig, dims: int, device: torch.device, cases: int) -> str:
    """What the guide's tables say of the network that was chosen by name, or of the one that 'auto' stands for."""
    volumes = [volume for volume in fingerprint.median_volume_mm3.values() if volume > 0]
    scale = max(volumes) / min(volumes) if volumes else 1.0
    situation = Situation(dims=dims, cases=cases, memory=memory_bytes(device), scale=scale)
    if config.network.type != "auto":
        against = objection(config.network.type, situation)
        return "set by the configuration" + (f"; {against}" if against else "")
    named, rows = recommended_network(situation)
    return (
        f"guide, '{rows}': {named}. In its place a residual U-Net planned for these sizes and spacings, which was "
        f"better in the same time; --model {named} takes the guide's"
    )


def _dims(fingerprint: Fingerprint, config: TrainConfig, reasons: Reasons) -> int:
    name, requested = architecture_name(config.network), requested_dims(config.network)
    possible = ARCHITECTURES[name].dims
    if fingerprint.dims == 2 and (possible == (3,) or requested == 3):
        what = f"network.type = {name}" if possible == (3,) else "network.dims = 3"
        instead = "UNet2D, or leave it out" if possible == (3,) else "2"
        raise ConfigError([f"{what}: the images have one slice, and a 3D network needs volumes. Use {instead}."])
    if config.network.neighbour_slices and fingerprint.dims == 2:
        raise ConfigError(
            [f"network.neighbour_slices = {config.network.neighbour_slices}: the images have one slice. Leave it out."]
        )
    if requested != "auto":
        reasons["dims"] = "set by the configuration"
        return requested
    if config.network.neighbour_slices:
        reasons["dims"] = "slice by slice, each with its neighbours (neighbour_slices)"
        return 2
    reason = "the images have one slice" if fingerprint.dims == 2 else "the images are volumes"
    if fingerprint.dims not in possible:
        reason += f"; {name} is a {possible[0]}D network, which sees them slice by slice"
    reasons["dims"] = reason
    return fingerprint.dims if fingerprint.dims in possible else possible[0]


def _slice_axis(fingerprint: Fingerprint, config: TrainConfig, dims: int, reasons: Reasons) -> str:
    """Along which axis of the patient slices lie one after the other: z, unless a 2D network sees other ones."""
    requested, patch = config.data.slice_axis, config.data.patch_size
    if requested != "auto" and (dims == 3 or fingerprint.dims == 2):
        why = "a 3D network sees volumes, not slices" if dims == 3 else "the images have one slice"
        raise ConfigError(
            [f"data.slice_axis = {requested}: {why}. Leave it out{', or set dims=2' if dims == 3 else ''}."]
        )
    if dims == 3 or fingerprint.dims == 2:
        return "z"
    median = np.median(fingerprint.spacings, axis=0)
    thickest = "zyx"[int(np.argmax(median))]  # of equal ones z, then y
    if requested != "auto":
        reasons["slice_axis"] = "set by the configuration"
        return requested
    if patch != "auto" and 1 in patch:
        reasons["slice_axis"] = f"a patch of {_times(patch)} voxels (z, y, x) is a slice across it"
        return "zyx"[patch.index(1)]
    if fingerprint.labelled_along:
        reasons["slice_axis"] = "slices along it are labelled"
        return fingerprint.labelled_along
    across = " x ".join(f"{mm:.3g}" for axis, mm in zip("zyx", median, strict=True) if axis != thickest)
    reasons["slice_axis"] = f"the finest plane: {across} mm, and {median.max():.3g} mm along {thickest} (medians)"
    if thickest != "z":
        reasons["slice_axis"] += f"; sizes and spacings of the network are {', '.join(AXES[thickest])}"
    return thickest


def _size_problems(config: TrainConfig, dims: int, image_edges: list[int] | None) -> list[str]:
    """What the configuration alone cannot know to be wrong, as the data decides about 2D and 3D."""
    if image_edges is None:
        return []
    problems = []
    data = config.data
    if len(image_edges) != dims:
        axes = "(y, x)" if dims == 2 else "(z, y, x)"
        problems.append(f"data.image_size = {image_edges}: give one number, or {dims} {axes} for a {dims}D network.")
    if dims == 2 and data.spacing != "auto":
        problems.append(
            f"data.image_size = {image_edges} and data.spacing = {data.spacing}: both say how far images are resized. "
            "Leave one out."
        )
    if dims == 3 and data.patch_size != "auto" and data.patch_size != image_edges:
        problems.append(
            f"data.image_size = {image_edges} and data.patch_size = {data.patch_size}: of volumes both are the patch. "
            "Leave one out."
        )
    return problems


def _spacing(
    fingerprint: Fingerprint,
    config: TrainConfig,
    dims: int,
    slice_axis: str,
    image_edges: list[int] | None,
    device: torch.device,
    reasons: Reasons,
) -> Spacing:
    if dims == 2 and image_edges:
        shrink = 1 / _scale(fingerprint, image_edges)[:, None]
        spacing = np.median(fingerprint.spacings * np.concatenate([np.ones_like(shrink), shrink, shrink], 1), axis=0)
        reasons["image_size"] = "set by the configuration; each image is resized to fit into it, sides in proportion"
        reasons["spacing"] = "follows from image_size (the median of the cases)"
        return float(spacing[0]), float(spacing[1]), float(spacing[2])
    if config.data.spacing != "auto":
        reasons["spacing"] = "set by the configuration"
        z, y, x = _in_order(config.data.spacing, slice_axis)
        _refuse_too_fine(fingerprint, (z, y, x), dims)
        return z, y, x
    voxels = int(np.prod(image_edges)) if image_edges else patch_voxels(dims, device)
    spacing, reasons["spacing"] = choose_spacing(fingerprint, dims, voxels)
    return spacing


def _refuse_too_fine(fingerprint: Fingerprint, spacing: Spacing, dims: int) -> None:
    """Raises ConfigError where a volume with voxels of this size does not fit into memory."""
    lengths = fingerprint.sizes * fingerprint.spacings / np.array(spacing)
    if dims == 2:  # slices stay where they are
        lengths[:, 0] = fingerprint.sizes[:, 0]
    voxels = float(np.prod(lengths, axis=1).max())
    needed, available = voxels * (4 * len(fingerprint.channels) + 1), available_memory()
    if needed > available:
        usual = _times(f"{mm:.3g}" for mm in np.median(fingerprint.spacings, axis=0))
        raise ConfigError(
            [
                f"data.spacing = {list(spacing)}: the largest volume would have {voxels:.3g} voxels and need "
                f"{needed / 1e9:.3g} GB, and {available / 1e9:.0f} GB are there. It is in mm (z, y, x); the "
                f"images have {usual}."
            ]
        )


def _in_order(values: Sequence[T], slice_axis: str) -> list[T]:
    """A setting (z, y, x) in the order of ``geometry.AXES``."""
    return [values["zyx".index(axis)] for axis in AXES[slice_axis]]


def _scale(fingerprint: Fingerprint, box: list[int]) -> np.ndarray:
    """What each case's slices are enlarged by to fit into a box (y, x)."""
    scale: np.ndarray = (np.array(box) / fingerprint.sizes[:, 1:]).min(axis=1)
    return scale


def _patch(
    fingerprint: Fingerprint,
    config: TrainConfig,
    dims: int,
    slice_axis: str,
    spacing: Spacing,
    image_edges: list[int] | None,
    device: torch.device,
    reasons: Reasons,
    share: float,
) -> tuple[Triple, Topology | None]:
    """The patch, and the topology of networks that are planned around it, None for the others."""
    name = architecture_name(config.network)
    step = ARCHITECTURES[name].divisor
    rule = nnunet_topology if name in NNUNET else choose_topology
    given = config.data.patch_size
    if given != "auto":
        first, rows, columns = _in_order(given, slice_axis)
        patch = (1 if dims == 2 else first, rows, columns)
        reasons["patch_size"] = "set by the configuration"
        if step is None:  # kept to the voxel, and the network must do
            return patch, topology_for_patch(patch, spacing, dims, rule)
    elif image_edges:
        patch = _whole(fingerprint, dims, spacing, image_edges, reasons)
        if step is None:
            topology = rule(patch, spacing, dims)
            return _triple(round_up(n, d) for n, d in zip(patch, topology.divisor, strict=True)), topology
    else:
        voxels, size = patch_voxels(dims, device), median_size(fingerprint, spacing, dims)
        if step is None:
            patch, topology = choose_patch(size, spacing, dims, int(share * voxels), rule)
            reasons["patch_size"] = _coverage(patch, size, int(share * voxels), share)
            return patch, topology
        patch = choose_fixed_patch(size, spacing, dims, voxels, step)
        reasons["patch_size"] = _coverage(patch, size, voxels, 1.0)
    return _fitted(patch, dims, name, step, reasons), None


def _no_levels(patch: Triple) -> str:
    return (
        f"no axis of a patch of {_times(patch)} voxels can be halved, and nnU-Net's networks need two levels. Give a "
        "larger data.patch_size of even numbers, or take --model auto."
    )


def _coverage(patch: Triple, size: Triple, voxels: int, share: float) -> str:
    whole = all(p >= s for p, s in zip(patch, size, strict=True))
    sees = "covers the median volume" if whole else f"as much of the median volume {size} as fits"
    return f"{sees}, at most {voxels} voxels{' on this device' if share == 1 else ''}"


def _whole(fingerprint: Fingerprint, dims: int, spacing: Spacing, image_edges: list[int], reasons: Reasons) -> Triple:
    """What image_size asks for, but no more than the largest case has."""
    if dims == 2:
        sizes = np.round(fingerprint.sizes[:, 1:] * _scale(fingerprint, image_edges)[:, None])
        y, x = sizes.max(axis=0).astype(int).tolist()
        reasons["patch_size"] = "the whole of every image at image_size"
        return 1, y, x
    largest = np.round(fingerprint.sizes * fingerprint.spacings / np.array(spacing)).max(axis=0).astype(int).tolist()
    patch = [min(n, max(1, most)) for n, most in zip(image_edges, largest, strict=True)]
    reasons["patch_size"] = f"image_size {_times(image_edges)}"
    if patch != list(image_edges):
        reasons["patch_size"] += f", but no more than the largest volume has ({_times(largest)} voxels)"
    return _triple(patch)


def _fitted(patch: Triple, dims: int, name: str, step: int, reasons: Reasons) -> Triple:
    """The patch enlarged to what a network takes: multiples of ``step``, and a coarsest map worth the name."""
    fitted = [n if dims == 2 and axis == 0 else round_up(n, step) for axis, n in enumerate(patch)]
    room = ""
    while np.prod([max(1, n // step) for n in fitted]) < SMALLEST_MAP_VOXELS:
        fitted[1 if fitted[1] <= fitted[2] else 2] += step
        room = f", and {SMALLEST_MAP_VOXELS} voxels at its coarsest level"
    if fitted != list(patch):
        reasons["patch_size"] += f"; {_times(patch)} became {_times(fitted)}: {name} needs multiples of {step}{room}"
    return _triple(fitted)


def _parameters(
    fingerprint: Fingerprint, config: TrainConfig, dims: int, patch: Triple, topology: Topology | None, reasons: Reasons
) -> dict[str, Any]:
    network, name = config.network, architecture_name(config.network)
    channels, classes = len(fingerprint.channels), len(fingerprint.classes) + (not fingerprint.overlapping)
    of_classes = "classes, each with a sigmoid of its own" if fingerprint.overlapping else "classes with the background"
    reasons |= {"in_channels": "channels of the images", "out_channels": of_classes}
    if network.neighbour_slices:
        beside = network.neighbour_slices
        reasons["in_channels"] += f", {channels}, of each slice and {beside} on each side, repeated at the ends"
        reasons["neighbour_slices"] = "set by the configuration"
        channels *= 2 * beside + 1
    sources = (
        ("in_channels", network.in_channels, channels),
        ("out_channels", requested_classes(network), classes),
    )
    for setting, given, actual in sources:
        if given not in ("auto", actual):
            reasons[setting] += f"; the configuration says {given}, but the data decides"
    settings = chosen_settings(network)
    for setting in settings:
        if getattr(network, setting) == "auto":
            reasons[setting] = f"default of {name}"
    if network.norm == "auto":
        reasons["norm"] = "does not depend on the batch, however small"
    if network.dropout == 0:
        reasons["dropout"] = "none unless asked for"
    if topology is None:
        architecture = ARCHITECTURES[name]
        return {
            "in_channels": channels,
            "out_channels": classes,
            **({"dims": dims} if len(architecture.dims) > 1 else {}),
            **({"img_size": list(patch[3 - dims :])} if architecture.is_fixed else {}),
            **settings,
        }
    deep = settings["deep_supervision"] in ("auto", True)
    if name in NNUNET:
        planned = nnunet_parameters(name, topology, settings["base_channels"], dims, channels, classes, deep)
    else:
        planned = network_parameters(topology, settings["base_channels"], dims, channels, classes, deep)
    return {**planned, "norm": settings["norm"], "dropout": settings["dropout"]}


def _triple(values: Iterable[int]) -> Triple:
    z, y, x = (int(value) for value in values)
    return z, y, x


def _times(values: Iterable[object]) -> str:
    return " x ".join(str(value) for value in values)
