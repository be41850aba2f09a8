"""Spacing, patch and network topology from the data's sizes and spacings, after nnU-Net's rules.

Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z, adapted to what a device can compute
in minutes. All triples are (z, y, x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from MedSegTrainerLib.data.checks.fingerprint import Fingerprint
from MedSegTrainerLib.hardware.device import memory_bytes

Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]

ANISOTROPY = 3.0  # an axis this much coarser than the others keeps its own resolution
SMALLEST_MAP = 4  # voxels an axis keeps at the coarsest level
MOST_LEVELS = {2: 7, 3: 5}
MOST_FEATURES = {2: 512, 3: 320}
CONTEXT = 1 / 8  # share of the median volume a patch should see
PATCH_VOXELS_CPU = {2: 256**2, 3: 48**3}
PATCH_VOXELS_GPU = {2: 512**2, 3: 128**3}
MEMORY_FOR_FULL_PATCH = 16e9  # bytes on the device for PATCH_VOXELS_GPU


@dataclass(frozen=True, kw_only=True)
class Topology:
    """One entry a level, finest first; the first stride is 1."""

    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]

    @property
    def divisor(self) -> Triple:
        """What each axis of a patch must be a multiple of."""
        product = np.prod(np.array(self.strides), axis=0)
        return int(product[0]), int(product[1]), int(product[2])


class TopologyRule(Protocol):
    """What makes levels for a patch; ``levels`` at most."""

    def __call__(self, patch: Triple, spacing: Spacing, dims: int, levels: int | None = None) -> Topology: ...


def patch_voxels(dims: int, device: torch.device) -> int:
    """Voxels a patch may have on this device."""
    memory = memory_bytes(device)
    if memory is None:
        return PATCH_VOXELS_CPU[dims]
    return int(PATCH_VOXELS_GPU[dims] * min(1.0, memory / MEMORY_FOR_FULL_PATCH))


def choose_spacing(fingerprint: Fingerprint, dims: int, voxels: int) -> tuple[Spacing, str]:
    """The median spacing; finer along a coarse axis, coarser where a patch would see too little of the volume."""
    spacing = np.median(fingerprint.spacings, axis=0)
    reason = "median spacing of the cases"
    coarse = int(np.argmax(spacing))
    others = np.delete(spacing, coarse)
    if dims == 3 and spacing[coarse] > ANISOTROPY * others.max():
        finer = float(np.percentile(fingerprint.spacings[:, coarse], 10))
        spacing[coarse] = max(finer, others.max())
        reason += (
            f"; its coarsest axis is much coarser than the others, so the finest tenth counts there ({finer:.3g} mm)"
        )
    volume = float(np.prod(median_size(fingerprint, (spacing[0], spacing[1], spacing[2]), dims)))
    if volume * CONTEXT > voxels:
        spacing, factor = _coarsen(spacing, fingerprint, dims, voxels)
        if factor > 1.05:
            reason += f", {factor:.1f} times coarser so that a patch of {voxels} voxels sees enough of the anatomy"
    return (float(spacing[0]), float(spacing[1]), float(spacing[2])), reason


def median_size(fingerprint: Fingerprint, spacing: Spacing, dims: int) -> Triple:
    """The median volume in voxels at a spacing; one slice in 2D."""
    sizes = np.round(fingerprint.sizes * fingerprint.spacings / np.array(spacing))
    z, y, x = (max(1, int(value)) for value in np.median(sizes, axis=0))
    return (1 if dims == 2 else z), y, x


def choose_patch(size: Triple, spacing: Spacing, dims: int, voxels: int, rule: TopologyRule) -> tuple[Triple, Topology]:
    """The largest patch of at most ``voxels`` in the proportions of the median volume, and its topology.

    Axes are shrunk where they are longest relative to the volume until the patch fits.
    """
    patch = [1 if dims == 2 else size[0], size[1], size[2]]
    while True:
        topology = rule((patch[0], patch[1], patch[2]), spacing, dims)
        rounded = [round_up(length, step) for length, step in zip(patch, topology.divisor, strict=True)]
        if np.prod(rounded) <= voxels:
            return (rounded[0], rounded[1], rounded[2]), topology
        # an axis that cannot get shorter does not count, however many millimetres it covers
        millimetres = [length * mm * (length > SMALLEST_MAP) for length, mm in zip(patch, spacing, strict=True)]
        axis = int(np.argmax(millimetres))
        step = topology.divisor[axis]
        patch[axis] = max(SMALLEST_MAP, (rounded[axis] - 1) // step * step)


def choose_fixed_patch(size: Triple, spacing: Spacing, dims: int, voxels: int, step: int) -> Triple:
    """The same for a network that takes multiples of ``step``, and at least one of them, along each axis."""
    patch = [1 if dims == 2 else round_up(size[0], step), round_up(size[1], step), round_up(size[2], step)]
    while np.prod(patch) > voxels and max(patch) > step:
        millimetres = [length * mm * (length > step) for length, mm in zip(patch, spacing, strict=True)]
        patch[int(np.argmax(millimetres))] -= step
    return patch[0], patch[1], patch[2]


def round_up(length: int, step: int) -> int:
    return -(-length // step) * step


def choose_topology(patch: Triple, spacing: Spacing, dims: int, levels: int | None = None) -> Topology:
    """Halves each axis while it stays long enough and is not coarser than twice the finest one."""
    length, mm = np.array(patch, dtype=float), np.array(spacing)
    strides: list[Triple] = [(1, 1, 1)]
    kernels = [_kernel(mm, dims)]
    while len(strides) < min(MOST_LEVELS[dims], levels or MOST_LEVELS[dims]):
        possible = length / 2 >= SMALLEST_MAP
        if dims == 2:
            possible[0] = False
        if not possible.any():
            break
        halved = possible & (mm < 2 * mm[possible].min())
        length = np.where(halved, np.ceil(length / 2), length)
        mm = np.where(halved, mm * 2, mm)
        strides.append((1 + int(halved[0]), 1 + int(halved[1]), 1 + int(halved[2])))
        kernels.append(_kernel(mm, dims))
    return Topology(strides=tuple(strides), kernels=tuple(kernels))


def topology_for_patch(patch: Triple, spacing: Spacing, dims: int, rule: TopologyRule) -> Topology:
    """The deepest topology a given patch can take as it stands (every axis a multiple of its strides)."""
    topology = rule(patch, spacing, dims)
    while any(length % step for length, step in zip(patch, topology.divisor, strict=True)):
        topology = rule(patch, spacing, dims, levels=len(topology.strides) - 1)
    return topology


def network_parameters(
    topology: Topology, base: int, dims: int, channels: int, classes: int, deep_supervision: bool
) -> dict[str, Any]:
    """Parameters of ``PlannedUNet``; ``classes`` counts the background."""
    first = 0 if dims == 3 else 1
    levels = len(topology.strides)
    return {
        "dims": dims,
        "in_channels": channels,
        "out_channels": classes,
        "features": [min(base * 2**level, MOST_FEATURES[dims]) for level in range(levels)],
        "strides": [list(stride[first:]) for stride in topology.strides],
        "kernels": [list(kernel[first:]) for kernel in topology.kernels],
        "blocks": [1] * levels,
        "deep_supervision": deep_supervision and levels > 2,
    }


def _coarsen(spacing: np.ndarray, fingerprint: Fingerprint, dims: int, voxels: int) -> tuple[np.ndarray, float]:
    """Coarser fine axes until a patch covers ``CONTEXT`` of the volume, or the smallest class would get lost."""
    start, smallest = spacing.copy(), min((v for v in fingerprint.median_volume_mm3.values() if v > 0), default=0.0)
    while True:
        volume = float(np.prod(median_size(fingerprint, (spacing[0], spacing[1], spacing[2]), dims)))
        finest = spacing[1:] if dims == 2 else spacing
        larger = spacing.copy()
        larger[spacing <= finest.min() * 1.2] *= 1.05
        if dims == 2:
            larger[0] = spacing[0]
        lost = dims == 3 and smallest / float(np.prod(larger)) < 200
        if volume * CONTEXT <= voxels or lost or larger.max() > 4 * start.max():
            return spacing, float(np.prod(spacing / start) ** (1 / dims))
        spacing = larger


def _kernel(mm: np.ndarray, dims: int) -> Triple:
    """3, but 1 along an axis twice as coarse as the finest: its neighbours say little there."""
    if dims == 2:
        return 1, 3, 3
    fine = mm < 2 * mm.min()
    return (3 if fine[0] else 1), (3 if fine[1] else 1), (3 if fine[2] else 1)
