"""Codes of a structure as DICOM has them: of Slicer's terminology, or "Tissue" of SNOMED CT for a plain name.

Slicer's text is "context~category~type~modifier~anatomic context~region~modifier"; each code in it is
"scheme^value^meaning" (vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

CATEGORY, TYPE, TYPE_MODIFIER, REGION, REGION_MODIFIER = 1, 2, 3, 5, 6
LONGEST_SCHEME, LONGEST_VALUE, LONGEST_MEANING = 16, 64, 64  # of code sequences (PS3.3, table 8.8-1)


class Code(NamedTuple):
    """A coded concept: scheme "SCT" is SNOMED CT, "SRT" its older form, "DCM" of DICOM itself."""

    scheme: str
    value: str
    meaning: str


TISSUE = Code("SCT", "85756007", "Tissue")


@dataclass(frozen=True, kw_only=True)
class SegmentCodes:
    """What a segment is. A modifier says a side or a kind of what it belongs to."""

    category: Code = TISSUE
    type: Code = TISSUE
    type_modifier: Code | None = None
    region: Code | None = None
    region_modifier: Code | None = None


def segment_codes(terminology: str) -> SegmentCodes:
    """The codes of a text of Slicer; without a category and a type that are whole, those of a plain name."""
    parts = terminology.split("~")
    codes = [_code(parts[index]) if index < len(parts) else None for index in range(REGION_MODIFIER + 1)]
    category, kind = codes[CATEGORY], codes[TYPE]
    if category is None or kind is None:
        return SegmentCodes()
    region = codes[REGION]
    return SegmentCodes(
        category=category,
        type=kind,
        type_modifier=codes[TYPE_MODIFIER],
        region=region,
        region_modifier=None if region is None else codes[REGION_MODIFIER],
    )


def _code(text: str) -> Code | None:
    """None where it is empty, or no value of DICOM."""
    parts = [part.strip() for part in text.split("^")]
    lengths = (LONGEST_SCHEME, LONGEST_VALUE, LONGEST_MEANING)
    if len(parts) != 3 or not all(0 < len(part) <= longest for part, longest in zip(parts, lengths, strict=True)):
        return None
    return None if "\\" in text or not text.isprintable() else Code(*parts)
