"""Whole volumes through a network that sees one window at a time; windows overlap and fade out at their borders."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from MedSegTrainerLib.inference.window_layout import OWN, Triple, WindowLayout

Network = Callable[[torch.Tensor], torch.Tensor]
Values = tuple[float, ...]

LARGEST_SUMS = 1 << 30  # bytes that the sums over windows take in 32 bits; beyond it they are kept in 16
MANY_BATCHES = 4  # in a layer of windows, from which on a last batch that is not full costs little
MOST_CACHED = 8  # values that empty windows have, whose results are kept


def predict_volume(
    image: torch.Tensor,
    network: Network,
    *,
    classes: int,
    patch: Triple,
    overlap: float,
    batch: int,
    on_window: Callable[[int, int], None] = lambda done, total: None,
    keep_on: torch.device | None = None,
    layout: WindowLayout = OWN,
) -> torch.Tensor:
    """Logits (classes, z, y, x) of an image (C, z, y, x), both float32.

    network maps patches (B, C, z, y, x), ``batch`` of them at most, to logits of the same size; larger windows would
    change what its norms see. ``on_window(done, total)`` is called as windows are finished. keep_on: where the logits
    are added up; the image's device by default.
    """
    slabs = predict_slabs(
        image,
        network,
        channels=classes,
        patch=patch,
        overlap=overlap,
        batch=batch,
        on_window=on_window,
        keep_on=keep_on,
        layout=layout,
    )
    whole: torch.Tensor | None = None
    for first, slab in slabs:
        if slab.shape[1:] == image.shape[1:]:
            return slab.float().to(keep_on or image.device)
        if whole is None:
            whole = torch.empty((classes, *image.shape[1:]), device=keep_on or image.device)
        whole[:, first : first + slab.shape[1]] = slab
    assert whole is not None
    return whole


def predict_slabs(
    image: torch.Tensor,
    network: Network,
    *,
    channels: int,
    patch: Triple,
    overlap: float,
    batch: int,
    on_window: Callable[[int, int], None] = lambda done, total: None,
    keep_on: torch.device | None = None,
    layout: WindowLayout = OWN,
) -> Iterator[tuple[int, torch.Tensor]]:
    """What ``predict_volume`` gives, from low z to high in slabs: the first plane and (channels, planes, y, x).

    Only the planes that windows still to come can change are held, in 16 bits where 32 need more than
    ``LARGEST_SUMS``. A slab must be used before the next one is asked for: its memory is used again.
    keep_on: where the sums are held; the image's device by default. Windows of a single value (``only_value``) are
    alike: of those with the same value only the first goes through the network.
    """
    shape = (image.shape[1], image.shape[2], image.shape[3])
    padded, offset = layout.pad(image, patch)
    starts = layout.starts(tuple(padded.shape[1:]), patch, overlap)
    if len(starts) == 1:
        total = network(padded[None])[0].float()
        on_window(1, 1)
        yield 0, total[_place(offset, shape)]
        return
    kept_on = keep_on or image.device
    fade = layout.fade(patch, starts, kept_on)
    for first, slab in _rolling(padded, network, channels, fade, starts, batch, on_window, kept_on):
        low, high = max(first, offset[0]), min(first + slab.shape[1], offset[0] + shape[0])
        if low < high:
            inside = _place((low - first, *offset[1:]), (high - low, *shape[1:]))
            yield low - offset[0], slab[inside]


def only_value(window: torch.Tensor) -> Values | None:
    """The values of the channels of (C, z, y, x) where each has but one, as air that normalisation clips; else None."""
    first = window[:, :1, :1, :1]
    for part in (window[:, ::8, ::8, ::8], window):  # nearly all windows differ within the first
        if not bool((part == first).all()):
            return None
    return tuple(first.flatten().tolist())


def _rolling(
    image: torch.Tensor,
    network: Network,
    channels: int,
    fade: torch.Tensor,
    starts: list[Triple],
    batch: int,
    on_window: Callable[[int, int], None],
    keep_on: torch.device,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Slabs of the means of windows with the weights ``fade`` (z, y, x); ``starts`` rise along z, so that planes below
    the next window are finished."""
    window = (fade.shape[0], fade.shape[1], fade.shape[2])
    values = {start: only_value(image[_place(start, window)]) for start in starts}  # before a GPU has other work
    parts = _in_parts(starts, values, batch)
    height = max(part[-1][0] + window[0] - part[0][0] for part in parts)
    shape = (channels, height, *image.shape[2:])
    dtype = torch.float32 if 4 * math.prod(shape) <= LARGEST_SUMS else torch.float16
    total, weight = torch.zeros(shape, dtype=dtype, device=keep_on), torch.zeros(shape[1:], device=keep_on)
    cache: dict[Values, torch.Tensor] = {}
    base = done = 0
    for part in parts:
        finished = part[0][0] - base
        if finished:
            yield base, _means(total[:, :finished], weight)
            _move_down(total, finished)
            _move_down(weight[None], finished)
            base += finished
        windows = [(image[_place(start, window)], values[start]) for start in part]
        for (z, y, x), logits in zip(part, _window_logits(windows, network, cache), strict=True):
            place = _place((z - base, y, x), window)
            for sums, class_logits in zip(total, logits, strict=True):  # class by class: less memory than all at once
                sums[place[1:]] += class_logits.to(keep_on, torch.float32) * fade
            weight[place[1:]] += fade
        done += len(part)
        on_window(done, len(starts))
    finished = image.shape[1] - base
    yield base, _means(total[:, :finished], weight)


def _in_parts(starts: list[Triple], values: Mapping[Triple, Values | None], batch: int) -> list[list[Triple]]:
    """Windows in their order, in parts of which so many at most must go through the network.

    Where a layer has many windows a part ends with it, so that no more planes than those of a window are held.
    """
    has_many = len(starts) >= MANY_BATCHES * batch * len({z for z, _, _ in starts})
    parts: list[list[Triple]] = []
    for start in starts:
        last = parts[-1] if parts else []
        if has_many:
            is_full = bool(last) and (start[0] != last[0][0] or sum(values[one] is None for one in last) == batch)
        else:
            is_full = len(last) == batch
        if is_full or not last:
            parts.append([])
        parts[-1].append(start)
    return parts


def _window_logits(
    windows: Sequence[tuple[torch.Tensor, Values | None]], network: Network, cache: dict[Values, torch.Tensor]
) -> Iterator[torch.Tensor]:
    """Logits (classes, z, y, x) of windows (C, z, y, x), given with their only value; ``cache`` is by value."""
    batch = [window for window, value in windows if value is None]
    results = iter(network(torch.stack(batch)) if batch else ())
    for window, value in windows:
        if value is None:
            yield next(results)
            continue
        if value not in cache:
            if len(cache) == MOST_CACHED:
                cache.clear()
            cache[value] = network(window[None])[0]
        yield cache[value]


def _means(sums: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Sums (channels, z, y, x) divided in place by the first planes of (z, y, x) weights."""
    for plane in range(sums.shape[1]):  # torch would make 32 bits of all of it first
        sums[:, plane] /= weight[plane]
    return sums


def _move_down(sums: torch.Tensor, planes: int) -> None:
    """Plane ``planes`` of (channels, z, y, x) becomes plane 0, the next one plane 1, ...; zeros come from above."""
    left = sums.shape[1] - planes
    for plane in range(left):
        sums[:, plane] = sums[:, plane + planes]
    sums[:, max(0, left) :] = 0


def _place(start: Triple, size: Sequence[int]) -> tuple[slice, ...]:
    """Index of a region of (C, z, y, x)."""
    return (slice(None), *(slice(s, s + w) for s, w in zip(start, size, strict=True)))
