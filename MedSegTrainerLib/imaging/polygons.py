"""Closed polygons as pixels: a pixel belongs to them where its centre lies inside an odd number of times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def fill_polygons(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """A boolean array (rows, columns) of all polygons together.

    polygons: corners (n, 2) as column and row, where pixel centres are whole numbers; the last is joined with the
    first. By the even-odd rule a polygon inside another is a hole, and a channel of no width from the rim to a hole
    (a keyhole) is none. A centre on an edge belongs to the polygon on its right or below.
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), np.int32)
    for corners in polygons:
        where, row = _crossings(corners, rows)
        np.add.at(crossings, (row, np.clip(np.ceil(where), 0, columns).astype(int)), 1)
    odd = (crossings[:, :columns] % 2).astype(np.uint8)
    return np.bitwise_xor.accumulate(odd, axis=1).astype(bool)


def _crossings(corners: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns at which the edges cross the centres of rows, and these rows."""
    start, end = corners, np.roll(corners, -1, axis=0)
    upper = np.clip(np.ceil(np.minimum(start[:, 1], end[:, 1])), 0, rows).astype(int)
    lower = np.clip(np.ceil(np.maximum(start[:, 1], end[:, 1])), 0, rows).astype(int)
    count = lower - upper
    edge = np.repeat(np.arange(len(corners)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + upper[edge]
    along = (row - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
    return start[edge, 0] + along * (end[edge, 0] - start[edge, 0]), row
