"""Why a slice should be drawn, in words."""

from __future__ import annotations

from collections.abc import Sequence

from MedSegTrainerLib.config.rankings import RANKINGS
from MedSegTrainerLib.suggestion.case_slices import CaseSlices
from MedSegTrainerLib.suggestion.choose import Pick

NEARLY_AS_MUCH = 0.8  # of the doubt about the class that a slice was chosen for: others are named too
MOST_NAMED = 3


def nothing_seen_text(ranking: str) -> str:
    """A note where the model sees no class in any image. ranking: that was asked for."""
    how = "at random" if RANKINGS[ranking].reason == "random" else "by their entropy alone"
    return (
        f"The model sees none of its classes in any of these images, so slices are chosen {how}. See that the images "
        "are of the kind that the model was trained on; else draw what it is to find in some of them."
    )


def reason_text(pick: Pick, case: CaseSlices, names: Sequence[str], unseen: Sequence[int] = ()) -> str:
    """A phrase that begins with a small letter. names: of the classes. unseen: indices of the classes that the model
    sees in no image at all."""
    unlike = f"the image is unlike all cases so far: it has {'; '.join(case.unlike)}" if case.unlike else ""
    return "; ".join(filter(None, [_of_slice(pick, case, names, unseen), unlike]))


def _of_slice(pick: Pick, case: CaseSlices, names: Sequence[str], unseen: Sequence[int]) -> str:
    if pick.reason == "random":
        seen = "the model sees nothing in it" if pick.class_index is None else _seen(pick, case, names)
        return f"chosen at random: {seen}"
    if pick.class_index is None:
        return "the model is as sure here as anywhere"
    if pick.class_index in unseen:
        return f"the model sees the {names[pick.class_index]} in no image so far, and comes nearest to it here"
    doubt = case.unsure[:, pick.slice]
    also = [index for index in doubt.argsort()[::-1] if index != pick.class_index]
    also = [index for index in also if doubt[index] >= NEARLY_AS_MUCH * doubt[pick.class_index]]
    return f"the model is unsure about {_listed([names[index] for index in (pick.class_index, *also)])} here"


def _seen(pick: Pick, case: CaseSlices, names: Sequence[str]) -> str:
    seen = case.voxels[:, pick.slice].argsort()[::-1]
    return f"the model sees {_listed([names[index] for index in seen if case.voxels[index, pick.slice]])} in it"


def _listed(names: Sequence[str]) -> str:
    named = [f"the {name}" for name in names[:MOST_NAMED]]
    if len(named) == 1:
        return named[0]
    return f"{', '.join(named[:-1])} and {named[-1]}"
