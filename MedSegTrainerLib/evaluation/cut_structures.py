"""Structures that reach voxels which nobody labelled, so that their volumes and surfaces are not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from MedSegTrainerLib.errors import some
from MedSegTrainerLib.metrics.metrics import Values


def cut_notes(measured: Mapping[str, Mapping[int, Values]], names: Mapping[int, str]) -> Iterator[str]:
    """That distances and volumes are missing there. measured: case to label value to numbers; names: of values."""
    cut = {
        case: {value for value, one in values.items() if one["dice"] is not None and one["volume_ml"] is None}
        for case, values in measured.items()
    }
    values = sorted(set().union(*cut.values()))
    if values:
        cases = sum(map(bool, cut.values()))
        yield (
            f"Voxels that nobody labelled do not count. In {cases} of {len(cut)} cases structures reach them "
            f"({some([names.get(value, f'label {value}') for value in values])}): how large these are, and where their "
            "surface is, nobody knows there, and distances, surface Dice and volumes are left out."
        )
