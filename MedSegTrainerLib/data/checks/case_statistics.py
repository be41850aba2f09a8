"""What the data doctor measures of a case beyond what planning needs; cheap, as training measures it too."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from MedSegTrainerLib.imaging.class_bits import classes_of, where_class

VOLUME_SAMPLES = 20_000
DIGEST_SAMPLES = 1 << 17
PADDED_SHARE = 0.05  # of a volume at exactly its smallest value: a frame without image, not the darkest tissue
SPECK_VOXELS = 10
SPECK_SHARE = 0.05  # of the largest part of its class
BINS = 256
BACKGROUND_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class CaseStatistics:
    """Arrays were (z, y, x) in canonical (LPS) order.

    image_digest, label_digest: equal for equal voxels, whatever the file type; label_digest is '' without labels.
    direction: direction cosines of the image file, 3x3 row by row. ranges: 0.5 and 99.5 percentile of each channel.
    dark: share of the labelled voxels that every channel shows as background.
    padded: share of them where every channel is padded; 0 where the volume has no padding.
    levels: mean of each channel in a class, in standard deviations from the mean of the volume.
    centers: centre of a class, mm along z, y and x from the first voxel. stds: standard deviation of its voxels
    about it, mm. specks: number and voxels of the small parts of a class far from anything else; only where they were
    looked for. hot: channel to its few voxels far beyond all others, as a text. label_overlaps: of each channel what
    ``label_overlap`` gives.
    """

    image_digest: str
    label_digest: str
    direction: tuple[float, ...]
    ranges: tuple[tuple[float, float], ...]
    dark: float
    padded: float
    levels: dict[int, tuple[float, ...]]
    centers: dict[int, tuple[float, float, float]]
    stds: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    specks: dict[int, tuple[int, int]] = field(default_factory=dict)
    hot: dict[int, str] = field(default_factory=dict)
    label_overlaps: tuple[float | None, ...] = ()


def take_statistics(
    arrays: Sequence[np.ndarray],
    values: np.ndarray,
    chosen: np.ndarray,
    spacing_zyx: Sequence[float],
    direction: tuple[float, ...],
    *,
    overlapping: bool = False,
    known: np.ndarray | None = None,
) -> CaseStatistics:
    """Statistics of the channels and the label map ``values``; ``chosen``: flat indices of labelled voxels, or none.

    overlapping: the label map holds ``class_bits``. known: mask of the voxels that somebody labelled, be it as
    background; None for all.
    """
    step = sampling_step(arrays[0].shape, VOLUME_SAMPLES)
    volumes = [array.ravel()[::step].astype(np.float32) for array in arrays]
    inside = [array.ravel()[chosen].astype(np.float32) for array in arrays]
    ranges = [value_range(volume) for volume in volumes]
    limits = [background_limit(volume, *span) for volume, span in zip(volumes, ranges, strict=True)]
    labels = values.ravel()[chosen]
    positions_mm = np.stack(np.unravel_index(chosen, values.shape)) * np.asarray(spacing_zyx)[:, None]
    inside_class = {value: where_class(labels, value, overlapping) for value in _present(labels, overlapping)}
    deviations = [
        (part - whole.mean()) / max(float(whole.std()), 1e-6) for part, whole in zip(inside, volumes, strict=True)
    ]
    return CaseStatistics(
        image_digest=_digest(arrays),
        label_digest=_digest([values]) if chosen.size else "",
        direction=direction,
        ranges=tuple(ranges),
        dark=_share([part <= limit for part, limit in zip(inside, limits, strict=True)]),
        padded=_share([part == whole.min() for part, whole in zip(inside, volumes, strict=True)])
        if all((whole == whole.min()).mean() >= PADDED_SHARE for whole in volumes)
        else 0.0,
        levels={value: tuple(float(part[own].mean()) for part in deviations) for value, own in inside_class.items()},
        centers={value: _triple(positions_mm[:, own].mean(axis=1)) for value, own in inside_class.items()},
        stds={value: _triple(positions_mm[:, own].std(axis=1)) for value, own in inside_class.items()},
        label_overlaps=tuple(
            label_overlap(array, volume, values != 0, known) for array, volume in zip(arrays, volumes, strict=True)
        ),
    )


def _present(labels: np.ndarray, overlapping: bool) -> list[int]:
    present = [int(value) for value in np.unique(labels)]
    return sorted({value for bits in present for value in classes_of(bits)}) if overlapping else present


def find_specks(values: np.ndarray, classes: Sequence[int], *, overlapping: bool = False) -> dict[int, tuple[int, int]]:
    """How many parts of a class (26-connected) are tiny beside its largest one, and their voxels together."""
    specks = {}
    for value in classes:
        mask = where_class(values, value, overlapping)
        box = ndimage.find_objects(mask.astype(np.uint8))
        if not box:
            continue
        parts, _ = ndimage.label(mask[box[0]], structure=np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        small = sizes[(sizes < SPECK_VOXELS) & (sizes < SPECK_SHARE * sizes.max())]
        if small.size:
            specks[value] = (int(small.size), int(small.sum()))
    return specks


def background_limit(sample: np.ndarray, low: float, high: float) -> float:
    """The intensity below which a volume shows nothing: a quarter of the way from its dark end to its bright part.

    low, high: what ``value_range`` gives for the sample.

    Otsu's threshold alone would do for two kinds of voxels, but may also part tissues from each other.
    """
    bright = sample[sample > _otsu_threshold(sample, low, high)]
    return low + BACKGROUND_SHARE * (float(bright.mean()) - low) if bright.size else low


def _otsu_threshold(sample: np.ndarray, low: float, high: float) -> float:
    """The value that splits a sample into dark and bright with the largest variance between them (Otsu 1979)."""
    counts, edges = np.histogram(sample, bins=BINS, range=(low, high if high > low else low + 1))
    middles = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (sums[-1] * below / total - sums) ** 2 / (below * (total - below))
    return float(edges[1 + int(np.nanargmax(between))]) if np.isfinite(between).any() else low


def sampling_step(shape: Sequence[int], samples: int) -> int:
    """A step through a flat array that takes about so many voxels and does not stay in one column."""
    step = max(1, math.prod(shape) // samples)
    while step > 1 and math.gcd(step, shape[-1] * shape[-2]) > 1:
        step += 1
    return step


def _digest(arrays: Sequence[np.ndarray]) -> str:
    """Of up to 131 072 evenly spread voxels of each array: more would take longer than reading them."""
    digest = hashlib.blake2b(repr([array.shape for array in arrays]).encode(), digest_size=16)
    for array in arrays:
        step = sampling_step(array.shape, DIGEST_SAMPLES)
        digest.update(array.ravel()[::step].astype(np.float32) + np.float32(0))  # -0.0 becomes 0.0
    return digest.hexdigest()


def value_range(sample: np.ndarray) -> tuple[float, float]:
    """The 0.5 and the 99.5 percentile."""
    low, high = np.percentile(sample, (0.5, 99.5))
    return float(low), float(high)


def _share(masks: Sequence[np.ndarray]) -> float:
    """Of the voxels where every mask is true."""
    every = np.logical_and.reduce(masks)
    return float(every.mean()) if every.size else 0.0


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


MOST_VALUES = 20  # different whole numbers of a label map; images have hundreds
WHOLE = 1e-3


def label_overlap(
    array: np.ndarray, sample: np.ndarray, labelled: np.ndarray, known: np.ndarray | None = None
) -> float | None:
    """Dice of what is not 0 in a channel (z, y, x) with what is labelled; None unless it is of a few whole numbers.

    sample: some voxels of the channel, so that an image is recognised as one without a look at all of them. known: the
    voxels that are compared, None for all.
    """
    if np.unique(sample).size > MOST_VALUES or (np.abs(sample - np.round(sample)) > WHOLE).any():
        return None
    inside = np.abs(array) > WHOLE
    if known is not None and not known.all():
        inside, labelled = inside & known, labelled & known
    total = int(np.count_nonzero(inside)) + int(np.count_nonzero(labelled))
    return 2 * int(np.count_nonzero(inside & labelled)) / total if total else None
