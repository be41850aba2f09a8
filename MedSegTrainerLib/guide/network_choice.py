"""Which network the training guide's selection tables name for a data set on a device, and by which rows."""

from __future__ import annotations

from dataclasses import dataclass

from MedSegTrainerLib.config.architectures import ARCHITECTURES

SMALL_MEMORY, LARGE_MEMORY = 7.5e9, 16 * 2**30  # bytes; cards sold with 8 or 16 GB report something near it
FEW_CASES, MANY_CASES = 100, 500  # "under 100 cases CNNs; over 500 transformers become eligible"
MULTI_SCALE = 30.0  # the largest class to the smallest, by volume in a case; the guide gives no number


@dataclass(frozen=True, kw_only=True)
class Situation:
    """cases: that train. memory: bytes on the device, None on a CPU. scale: volume of the largest class to the
    smallest, medians over the cases."""

    dims: int
    cases: int
    memory: int | None
    scale: float


def recommended_network(situation: Situation) -> tuple[str, str]:
    """The network of the guide's tables, and the rows; what the data cannot tell (global context) is not asked for."""
    size, memory_row = _memory_row(situation.memory)
    rows = [memory_row, _cases_row(situation.cases)]
    transformers = size == 2 and situation.cases > MANY_CASES
    if situation.dims == 2:
        if transformers:
            return "TransUNet", _reason("global context", rows)
        if situation.scale > MULTI_SCALE and size > 0:
            scale = f"multi-scale (largest class to smallest {situation.scale:.0f}:1)"
            return "DeepLabV3Plus", _reason(scale, rows)
        return "UNet2D", _reason("general 2D", rows)
    if transformers:
        return "SwinUNETR", _reason("most capacity", rows)
    return ("SegResNet" if size == 0 else "UNet3D"), _reason("general 3D", rows)


def objection(architecture: str, situation: Situation) -> str | None:
    """What the guide says against a network that was chosen by name, or None."""
    size, memory_row = _memory_row(situation.memory)
    candidate = ARCHITECTURES[architecture]
    is_transformer = candidate.family == "transformer"
    if is_transformer and situation.cases < FEW_CASES:
        return f"the guide has CNNs for under {FEW_CASES} cases (here {situation.cases})"
    if size >= candidate.memory_row:
        return None
    what = "transformers" if is_transformer else "it"
    return f"the guide has {what} for {('', '8 GB and more', 'over 16 GB')[candidate.memory_row]} (here {memory_row})"


def _memory_row(memory: int | None) -> tuple[int, str]:
    """0, 1 or 2 for the rows by memory, and the row; a CPU is as slow as the smallest of them."""
    if memory is None:
        return 0, "a CPU, as under 8 GB: UNet2D or small SegResNet"
    size = int(memory >= SMALL_MEMORY) + int(memory > LARGE_MEMORY)
    rows = (
        "under 8 GB: UNet2D or small SegResNet",
        "8-16 GB: UNet3D, VNet, DeepLabV3+, SegResNet 3D",
        "over 16 GB: transformers",
    )
    return size, rows[size]


def _cases_row(cases: int) -> str:
    if cases < FEW_CASES:
        return f"{cases} cases, under {FEW_CASES}: CNNs"
    if cases > MANY_CASES:
        return f"{cases} cases, over {MANY_CASES}: transformers too"
    return f"{cases} cases: transformers only above {MANY_CASES}"


def _reason(first: str, rows: list[str]) -> str:
    return "; ".join([first, *rows])
