"""The codes of a DICOM segment as the text in which 3D Slicer keeps them.

It is "context~category~type~modifier~anatomic context~region~modifier", with "scheme^value^meaning" for each code
(vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry).
"""

from __future__ import annotations

import re
from typing import Any

CONTEXT = "Segmentation category and type - DICOM master list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
BETWEEN = re.compile(r"[~^|\s]+")  # what separates in such a text, and in the fields of a .seg.nrrd


def terminology_text(segment: Any) -> str:
    """The text for an item of a Segment Sequence; '' where it lacks its category or its type."""
    category = _first(segment, "SegmentedPropertyCategoryCodeSequence")
    kind = _first(segment, "SegmentedPropertyTypeCodeSequence")
    if category is None or kind is None:
        return ""
    region = _first(segment, "AnatomicRegionSequence")
    modifier = _first(kind, "SegmentedPropertyTypeModifierCodeSequence")
    side = None if region is None else _first(region, "AnatomicRegionModifierSequence")
    codes = [_code(one) for one in (category, kind, modifier, region, side)]
    return "~".join([CONTEXT, *codes[:3], REGION_CONTEXT, *codes[3:]])


def kind_text(kind: Any) -> str:
    """The text for the code of a structure alone, whose category is then "Tissue"; '' for None."""
    tissue = {"CodingSchemeDesignator": "SCT", "CodeValue": "85756007", "CodeMeaning": "Tissue"}
    return "" if kind is None else "~".join([CONTEXT, _code(tissue), _code(kind), "^^", REGION_CONTEXT, "^^", "^^"])


def code_meaning(segment: Any) -> str:
    """What the type of a segment is called, '' where nothing says it."""
    kind = _first(segment, "SegmentedPropertyTypeCodeSequence")
    return "" if kind is None else str(kind.get("CodeMeaning") or "").strip()


def _first(item: Any, sequence: str) -> Any:
    return next(iter(item.get(sequence) or []), None)


def _code(item: Any) -> str:
    if item is None:
        return "^^"
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    parts = (item.get("CodingSchemeDesignator") or "", value, item.get("CodeMeaning") or "")
    return "^".join(BETWEEN.sub(" ", str(part)).strip() for part in parts)
