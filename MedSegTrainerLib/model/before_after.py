"""How good a training made the model that it began as: both on the same held-out cases, as ``model.json`` has it.

``metrics.start`` is the model as it came and ``metrics.best`` the best epoch, each {"val_dice": mean or None, "dice":
{class: mean or None}, "cases": names}. Only the standard library is imported, so that Slicer's Python can read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from MedSegTrainerLib.files.typed import fits

CLASSES_TOLD = 6

Values = Mapping[str, float | None]


def figures(mean: float | None, dice: Values, cases: Sequence[str]) -> dict[str, Any]:
    """An entry of the two."""
    return {"val_dice": mean, "dice": dict(dice), "cases": list(cases)}


def before_after(metrics: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """``start`` and ``best`` in the metrics of a model; None where it has none, or they are damaged or of other
    cases."""
    start, best = (_entry(metrics.get(name)) for name in ("start", "best"))
    return (start, best) if start and best and start["cases"] == best["cases"] else None


def before_after_text(start: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """``0.84, was 0.81; spleen 0.70, was 0.58``: the mean, then where there are several the classes that changed most.

    '' where no held-out case has any class.
    """
    if best["val_dice"] is None:
        return ""
    pairs = [(name, start["dice"].get(name), after) for name, after in best["dice"].items() if after is not None]
    pairs.sort(key=lambda pair: -abs(pair[2] - (pair[1] or 0.0)))
    several = pairs if len(best["dice"]) > 1 else []
    lines = [_changed(start["val_dice"], best["val_dice"])]
    lines += [f"{name} {_changed(before, after)}" for name, before, after in several[:CLASSES_TOLD]]
    more = len(several) - CLASSES_TOLD
    return "; ".join([*lines, *([f"and {more} more"] if more > 0 else [])])


def _changed(before: float | None, after: float) -> str:
    return f"{after:.2f}" if before is None else f"{after:.2f}, was {before:.2f}"


def _entry(value: Any) -> dict[str, Any]:
    """{} where it is none."""
    is_entry = (
        isinstance(value, dict)
        and fits(value.get("val_dice"), float | None)
        and fits(value.get("dice"), dict[str, float | None])
        and fits(value.get("cases"), list[str])
    )
    return value if is_entry else {}
