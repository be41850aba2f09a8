"""What is done to the label maps of a model, class by class, after its network has spoken: part of a model package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from MedSegTrainerLib.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What is done to the pieces of one class, and what it did to its mean Dice on the cases it was chosen with."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "allow_inf_nan": False}

    value: int
    name: str
    largest_component: bool = False
    fill_holes: bool = False
    minimum_size_mm3: float = 0.0
    cases: int = 0
    dice_before: float | None = None
    dice_after: float | None = None
    better: int = 0
    worse: int = 0

    @property
    def does_something(self) -> bool:
        return self.largest_component or self.fill_holes or self.minimum_size_mm3 > 0

    def text(self) -> str:
        done = []
        if self.minimum_size_mm3:
            done.append(f"pieces below {self.minimum_size_mm3:.3g} mm3 removed")
        if self.largest_component:
            done.append("only the largest piece kept")
        if self.fill_holes:
            done.append("holes filled")
        gain = ""
        if self.dice_before is not None and self.dice_after is not None:
            gain = f" (Dice {self.dice_before:.3f} -> {self.dice_after:.3f} on {self.cases} validation cases)"
        return f"{self.name}: {', '.join(done)}{gain}"


def to_json(cleanings: Sequence[Cleaning]) -> list[dict[str, Any]]:
    """For ``model.json``."""
    return [asdict(item) for item in cleanings]


def from_json(entries: Sequence[Mapping[str, Any]]) -> list[Cleaning]:
    """What ``to_json`` wrote; raises ModelError."""
    try:
        return TypeAdapter(list[Cleaning]).validate_python(list(entries))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))} = {first['input']!r:.60}: {first['msg']}"
        raise ModelError(f"The model's 'postprocessing' does not fit this version ({problem}). Update one.") from None


def agreed(members: Sequence[Sequence[Cleaning]]) -> list[Cleaning]:
    """Of several models, what all of them found to help, with the smallest of their sizes; their own Dice is left out.

    A single model keeps its figures.
    """
    if len(members) == 1:
        return [item for item in members[0] if item.does_something]
    common = []
    for item in members[0]:
        same = [next((other for other in m if other.value == item.value), None) for m in members]
        counterparts = [other for other in same if other is not None]
        if len(counterparts) < len(members):
            continue
        common.append(
            Cleaning(
                value=item.value,
                name=item.name,
                largest_component=all(other.largest_component for other in counterparts),
                fill_holes=all(other.fill_holes for other in counterparts),
                minimum_size_mm3=min(other.minimum_size_mm3 for other in counterparts),
            )
        )
    return [item for item in common if item.does_something]
