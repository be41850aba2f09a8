"""nnU-Net's rule for the levels of its networks, and how wide and deep it makes each.

Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z; in nnU-Net 2.8.1 ``get_pool_and_conv_props`` and the
planners ``ExperimentPlanner`` and ``ResEncUNetPlanner``. All triples are (z, y, x).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MedSegTrainerLib.networks.instance_norm import SLOPE
from MedSegTrainerLib.planning.shapes import SMALLEST_MAP, Spacing, Topology, Triple, network_parameters

NEAR = 2  # times the finest spacing; coarser axes are not halved, and have a kernel of 1 so far
ONE_AXIS = 3  # smallest maps that an axis must hold to be halved alone
CONVOLUTIONS = 2  # a level of PlainConvUNet, in the encoder and in the decoder
RESIDUAL_BLOCKS = (1, 3, 4, 6)  # of the first levels of ResEncUNet; the last number goes on


def nnunet_topology(patch: Triple, spacing: Spacing, dims: int, levels: int | None = None) -> Topology:
    """The levels for a patch that is rounded up to their divisor; ``levels`` at most.

    Each level halves the axes that stay long enough and are near the finest of these. A kernel becomes 3 along an axis
    when its spacing comes near the finest of all, and stays so; the coarsest level has 3 along all.
    """
    axes = range(3 - dims, 3)
    size, mm, kernel = [float(edge) for edge in patch], list(spacing), [1, 1, 1]
    strides: list[Triple] = [(1, 1, 1)]
    kernels: list[Triple] = []
    while levels is None or len(strides) < levels:
        halved = _halved(size, mm, axes)
        if not halved:
            break
        finest = min(mm[axis] for axis in axes)
        for axis in axes:
            kernel[axis] = 3 if kernel[axis] == 3 or mm[axis] / finest < NEAR else 1
        kernels.append((kernel[0], kernel[1], kernel[2]))
        for axis in halved:
            size[axis], mm[axis] = float(-(-size[axis] // 2)), mm[axis] * 2
        z, y, x = (2 if axis in halved else 1 for axis in range(3))
        strides.append((z, y, x))
    kernels.append((3 if dims == 3 else 1, 3, 3))
    return Topology(strides=tuple(strides), kernels=tuple(kernels))


def nnunet_parameters(
    architecture: str, topology: Topology, base: int, dims: int, channels: int, classes: int, deep_supervision: bool
) -> dict[str, Any]:
    """Parameters of ``NnunetUNet`` but for its norm and dropout; ``classes`` counts the background."""
    levels = len(topology.strides)
    is_plain = architecture == "PlainConvUNet"
    residual = [*RESIDUAL_BLOCKS, *[RESIDUAL_BLOCKS[-1]] * levels][:levels]
    return {
        **network_parameters(topology, base, dims, channels, classes, deep_supervision),
        "blocks": [CONVOLUTIONS] * levels if is_plain else residual,
        "decoder_blocks": [CONVOLUTIONS if is_plain else 1] * (levels - 1),
        "conv_bias": True,
        "slope": SLOPE,
    }


def _halved(size: Sequence[float], mm: Sequence[float], axes: range) -> list[int]:
    """The axes that the next level halves; none where it would be the last one's work alone."""
    long_enough = [axis for axis in axes if size[axis] >= 2 * SMALLEST_MAP]
    finest = min((mm[axis] for axis in long_enough), default=1.0)
    halved = [axis for axis in long_enough if mm[axis] / finest < NEAR]
    return [] if len(halved) == 1 and size[halved[0]] < ONE_AXIS * SMALLEST_MAP else halved
