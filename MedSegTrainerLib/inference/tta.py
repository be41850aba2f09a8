"""Test-time augmentation: the image is also seen mirrored or turned, and the results are turned back."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.samples.augment import RANGES

QUARTER_TURNS = {"rotate90": 1, "rotate180": 2, "rotate270": 3}  # in the plane (y, x)
NO_SIDES: Mapping[str, str] = {}
SQUARE = 0.01  # how far the sides of a voxel may differ, of the longer one, for the turned image to look alike


@dataclass(frozen=True, kw_only=True)
class Transform:
    """Flips along axes (0 is z, 1 is y, 2 is x), then quarter turns in the plane (y, x)."""

    flips: tuple[int, ...] = ()
    turns: int = 0

    def apply(self, windows: torch.Tensor) -> torch.Tensor:
        """(B, C, z, y, x) windows as they are seen; x and y change places in a quarter turn."""
        seen = windows.flip([axis + 2 for axis in self.flips]) if self.flips else windows
        return torch.rot90(seen, self.turns, (-2, -1)) if self.turns else seen

    def undo(self, result: torch.Tensor) -> torch.Tensor:
        """What ``apply`` did, backwards."""
        back = torch.rot90(result, -self.turns, (-2, -1)) if self.turns else result
        return back.flip([axis + 2 for axis in self.flips]) if self.flips else back


IDENTITY = Transform()


def choose_transforms(
    config: ApplyConfig, plans: Sequence[Plan], swaps: str | None = None
) -> tuple[tuple[Transform, ...], list[str]]:
    """What to average over, the image as it is first, and what the user should know of it.

    Every combination of the mirrorings, and each turn by itself. ``swaps`` says what a left-right mirror image does to
    classes with a side: then neither mirrorings along x nor turns are used. With several plans all must allow it. Where
    another program planned the training, what it mirrored is known from its plan alone.
    """
    if not config.tta:
        return (IDENTITY,), []
    if plans[0].preparation is not None:
        swaps = None
    trained = tuple(axis for axis in plans[0].flip_axes if all(axis in plan.flip_axes for plan in plans))
    sides = {
        **({"x": swaps} if swaps else {}),
        **{name: reason for plan in plans for name, reason in plan.sides.items()},
    }
    axes, warning = mirror_axes(config, trained, sides, plans[0].axes)
    warnings = [warning] if warning else []
    counts = range(len(axes) + 1)
    transforms = [Transform(flips=flips) for count in counts for flips in itertools.combinations(axes, count)]
    requested = [] if config.tta_transforms == "auto" else list(dict.fromkeys(config.tta_transforms))
    turns = [name for name in requested if name in QUARTER_TURNS]
    used = []
    for name in turns:
        reason = next(filter(None, (reason_against_turn(name, plan, sides) for plan in plans)), None)
        if reason:
            warnings.append(f"Left out: {name}, because {reason}.")
            continue
        used.append(name)
        transforms.append(Transform(turns=QUARTER_TURNS[name]))
    if used:
        most = max(ranges.rotation for ranges in RANGES.values())
        warnings.append(
            f"{', '.join(used)}: training turns images by {most:g} degrees at most, so the model never saw this. "
            "It can make the result worse: compare with and without on labelled cases."
        )
    return tuple(transforms), warnings


def mirror_axes(
    config: ApplyConfig, trained: Sequence[int], sides: Mapping[str, str] = NO_SIDES, axes: str = "zyx"
) -> tuple[tuple[int, ...], str | None]:
    """The array axes that test-time augmentation mirrors, and a warning where that is not what was requested.

    A network that never saw mirrored patches would be misled by them. ``sides``: axes to what mirroring along them does
    to classes with a side; then it is left out even if the network was trained with it. ``axes``: names of the array's.
    """
    if not config.tta:
        return (), None
    allowed = tuple(axis for axis in trained if axes[axis] not in sides)
    if config.tta_transforms == "auto":
        nothing = f"Nothing is mirrored for test-time augmentation, as the model was trained without it{_why(sides)}."
        return allowed, None if allowed else nothing
    flips = [name for name in dict.fromkeys(config.tta_transforms) if name not in QUARTER_TURNS]
    requested = [axes.index(name[-1]) for name in flips]
    refused = [axes[axis] for axis in requested if axis not in allowed]
    left_out, reason = ", ".join(f"flip_{name}" for name in refused), _why({n: sides[n] for n in refused if n in sides})
    warning = f"Left out: {left_out}. The model was trained without mirroring along it{reason}." if left_out else None
    return tuple(sorted(axis for axis in requested if axis in allowed)), warning


def _why(sides: Mapping[str, str]) -> str:
    return f": {'; '.join(sides.values())}" if sides else ""


def reason_against_turn(name: str, plan: Plan, sides: Mapping[str, str]) -> str | None:
    """The reason against a turn in the plane as a text, or None.

    Half a turn moves left to right; a quarter moves it to the front or the back, where nothing tells the sides apart.
    """
    in_plane = {axis: text for axis, text in sides.items() if axis in plan.axes[1:]}
    if in_plane:
        return f"it moves the sides of the patient elsewhere{_why(in_plane)}"
    if QUARTER_TURNS[name] == 2:
        return None
    (y, x), (rows, columns) = plan.spacing[1:], plan.patch_size[1:]
    if plan.image_size is None and abs(y - x) > SQUARE * max(y, x):
        return f"voxels of {y:.3g} x {x:.3g} mm (y, x) are not square, so that a turned image would look stretched"
    if ARCHITECTURES[plan.architecture].is_fixed and rows != columns:
        return f"{plan.architecture} sees {rows} x {columns} pixels (y, x) and takes no turned window"
    if plan.divisor[1] != plan.divisor[2]:
        return "the network halves y and x differently often and takes no turned window"
    return None
