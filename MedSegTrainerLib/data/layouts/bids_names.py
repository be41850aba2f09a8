"""Names of files in BIDS: ``sub-01_ses-2_run-1_T1w``, pairs of keys and values before what the file is.

See the specification, "Common principles: entities" (https://bids-specification.readthedocs.io).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from MedSegTrainerLib.imaging.read import case_name

PAIR = re.compile(r"([a-zA-Z0-9]+)-([a-zA-Z0-9+]+)")
SUFFIX = re.compile(r"[a-zA-Z0-9]+")
LABELS = "dseg"  # discrete segmentation: a label map
# Say how a file was derived, not from which image: what is left of a name belongs to that
DERIVED = frozenset({"space", "res", "den", "desc", "label", "atlas", "seg", "scale", "cohort"})


@dataclass(frozen=True, kw_only=True)
class BidsName:
    """entities: key to value, in the order of the name. suffix: what the file is, such as T1w."""

    entities: Mapping[str, str]
    suffix: str

    @property
    def source(self) -> dict[str, str]:
        """The entities that an image and what was derived from it have in common."""
        return {key: value for key, value in self.entities.items() if key not in DERIVED}


def read_name(path: Path) -> BidsName | None:
    """None for a file that is not named so."""
    return parse_name(case_name(path))


def parse_name(name: str) -> BidsName | None:
    """None for a name, without the suffix of the file, that is none of BIDS."""
    *pairs, suffix = name.split("_")
    matches = [PAIR.fullmatch(pair) for pair in pairs]
    entities = {match[1]: match[2] for match in matches if match}
    if not SUFFIX.fullmatch(suffix) or len(entities) < len(pairs) or "sub" not in entities:
        return None
    return BidsName(entities=entities, suffix=suffix)


def joined(entities: Mapping[str, str], suffix: str = "") -> str:
    """The name of these entities, in their order."""
    return "_".join([*(f"{key}-{value}" for key, value in entities.items()), *([suffix] if suffix else [])])


def asks_for(wanted: str, name: BidsName) -> bool:
    """Whether ``wanted``, a part of a name such as ``desc-manual_dseg``, ``acq-fast_T1w`` or ``T1w``, is in a name."""
    parts = {f"{key}-{value}".casefold() for key, value in name.entities.items()} | {name.suffix.casefold()}
    return set(wanted.casefold().split("_")) <= parts
