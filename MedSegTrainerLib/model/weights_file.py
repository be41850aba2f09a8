"""Files of weights (safetensors): their header is compared with the network before anything else of them is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.files.json_input import parse_json
from MedSegTrainerLib.networks.state_shapes import Shape

LENGTH_BYTES = 8  # of the header's own size (safetensors' README)
LONGEST_HEADER = 16 << 20
FLOATS = ("F32", "F16", "BF16", "F64")
WHOLE = ("I64", "I32", "I16", "I8", "U8")
LARGEST_WEIGHT = 65504.0  # of 16-bit floats, in which a GPU computes; trained weights stay far below
LARGEST_STATISTIC = 1e30  # running means and variances, which stay in 32 bits
MOST_NAMED = 4


def load_weights(stream: IO[bytes], size: int, shapes: Mapping[str, Shape]) -> dict[str, torch.Tensor]:
    """The weights in a file of ``size`` bytes, which must be those of a network (``state_shapes``).

    Raises ModelError with what is missing, of another shape or type, or no finite number.
    """
    head = stream.read(LENGTH_BYTES)
    length = int.from_bytes(head, "little")
    if len(head) < LENGTH_BYTES or length > min(size, LONGEST_HEADER):
        raise ModelError("it is no file of safetensors, or cut short")
    text = stream.read(length)
    try:
        header = parse_json(text, "its header", ModelError)
    except ModelError:
        raise ModelError("it is no file of safetensors") from None
    problems = list(_differences(header, shapes, size - LENGTH_BYTES - length))
    if problems:
        raise ModelError("; ".join(problems))
    try:
        weights = safetensors.torch.load(head + text + stream.read(size - LENGTH_BYTES - length))
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(str(error)) from None
    wrong = [name for name, value in weights.items() if not is_sane(name, value)]
    if wrong:
        raise ModelError(f"weights that are NaN, infinite or beyond {LARGEST_WEIGHT:g}: {named(wrong)}")
    return weights


def _differences(header: Any, shapes: Mapping[str, Shape], held: int) -> Iterator[str]:
    entries = (
        {name: entry for name, entry in header.items() if name != "__metadata__"} if isinstance(header, dict) else {}
    )
    missing, extra = sorted(shapes.keys() - entries.keys()), sorted(entries.keys() - shapes.keys())
    if missing:
        yield f"missing: {named(missing)}"
    if extra:
        yield f"not of this network: {named(extra)}"
    other, ends = [], [0]
    for name in sorted(shapes.keys() & entries.keys()):
        shape, kind = shapes[name]
        entry = entries[name] if isinstance(entries[name], dict) else {}
        allowed = FLOATS if kind.is_floating_point else WHOLE
        if entry.get("shape") != list(shape) or entry.get("dtype") not in allowed:
            other.append(f"{name} ({entry.get('dtype')} {entry.get('shape')} instead of {allowed[0]} {list(shape)})")
        offsets = entry.get("data_offsets")
        ends += [end for end in offsets if isinstance(end, int)] if isinstance(offsets, list) else []
    if other:
        yield f"of another shape or type: {named(other)}"
    elif not missing and not extra and max(ends) != held:
        yield f"it holds {held} bytes of weights and its header promises {max(ends)}"


def is_sane(name: str, value: torch.Tensor) -> bool:
    """Whether a weight or statistic is made of numbers that a trained network has."""
    if not value.is_floating_point() or value.numel() == 0:
        return True
    largest = float(value.abs().max())  # NaN where any is
    return largest <= (LARGEST_STATISTIC if ".running_" in f".{name}" else LARGEST_WEIGHT)


def named(names: Sequence[str]) -> str:
    """The first few names of weights, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(name[:100] for name in names[:MOST_NAMED]) + more
