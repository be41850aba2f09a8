"""What a case has unlike all others: its grid, its intensities. Judged against the median and its usual spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MedSegTrainerLib.data.checks.case_scan import CaseScan

FEW_CASES = 4  # among fewer, nobody can say which one is unlike the others
DEVIATIONS = 5.0
NORMAL = 1.4826  # standard deviation of a normal distribution in units of its median absolute deviation
SPACING_FACTOR, EXTENT_FACTOR = 2.0, 2.5
SCALE_FACTOR, LEVEL_RANGES = 6.0, 0.3
MOST_ODD = 0.15  # of the cases; when more are unlike the rest, the data simply is of several kinds


def strays(values: Sequence[float] | np.ndarray, least: float) -> np.ndarray:
    """How far each value lies from the median where it is unlike the others, else 0.

    Unlike: by more than ``least`` and by more than five standard deviations, as the median absolute deviation
    estimates them. Among fewer than four values none is.
    """
    offsets = np.asarray(values, dtype=float)
    offsets = offsets - (np.median(offsets) if offsets.size else 0.0)
    limit = max(least, DEVIATIONS * NORMAL * float(np.median(np.abs(offsets)))) if offsets.size >= FEW_CASES else np.inf
    return np.where(np.abs(offsets) > limit, offsets, 0.0)


def is_few(odd: int, cases: int) -> bool:
    """Whether so many cases can be called the odd ones among all."""
    return odd <= max(1, MOST_ODD * cases)


def odd_grids(scans: Sequence[CaseScan]) -> list[tuple[str, str, bool]]:
    """Cases with spacing or extent unlike the others: name, what, and whether it is the spacing."""
    if not scans:
        return []
    spacings = np.array([scan.geometry.spacing_zyx for scan in scans])
    extents = spacings * [scan.geometry.size_zyx for scan in scans]
    odd = []
    for index, scan in enumerate(scans):
        if _unlike(spacings, SPACING_FACTOR)[index]:
            message = (
                f"its voxels are {_mm(spacings[index])} (z, y, x), those of the others {_mm(np.median(spacings, 0))}."
            )
            odd.append((scan.name, message, True))
        elif _unlike(extents, EXTENT_FACTOR)[index]:
            message = f"it is {_mm(extents[index])} large (z, y, x), the others {_mm(np.median(extents, 0))}."
            odd.append((scan.name, message, False))
    return odd


def odd_intensities(scans: Sequence[CaseScan]) -> dict[str, str]:
    """Cases whose intensities have another range than those of the others, with a message each."""
    varied = [scan for scan in scans if scan.stats and scan.low != scan.high]
    messages: dict[str, str] = {}
    for channel in range(min((len(scan.low) for scan in varied), default=0)):
        ranges = np.array([scan.stats.ranges[channel] for scan in varied if scan.stats])
        widths = np.maximum(ranges[:, 1] - ranges[:, 0], 1e-6)
        usual = np.median(ranges, axis=0)
        wide = strays(np.log(widths), np.log(SCALE_FACTOR))
        shifted = strays(ranges[:, 0] / np.median(widths), LEVEL_RANGES)
        for scan, (low, high), odd in zip(varied, ranges, (wide != 0) | (shifted != 0), strict=True):
            if odd:
                where = f"of channel {channel} " if len(scan.low) > 1 else ""
                messages.setdefault(
                    scan.name,
                    f"intensities {where}go from {_text(low)} to {_text(high)}, those of the others from "
                    f"{_text(usual[0])} to {_text(usual[1])} (0.5 and 99.5 percentile).",
                )
    return messages


def _unlike(lengths: np.ndarray, factor: float) -> np.ndarray:
    """Which rows of (cases, axes) have an axis that is unlike those of the others by more than a factor."""
    logs = np.log(lengths)
    odd: np.ndarray = np.any([strays(logs[:, axis], float(np.log(factor))) != 0 for axis in range(3)], axis=0)
    return odd


def _text(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _mm(values: np.ndarray) -> str:
    return " x ".join(f"{value:.4g}" for value in values) + " mm"
