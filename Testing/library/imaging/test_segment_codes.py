"""Codes of Slicer's terminology texts, and those of a plain name."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.imaging.segment_codes import TISSUE, Code, SegmentCodes, segment_codes

LIVER = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure~"
    "SCT^10200004^Liver~^^~Anatomic codes - DICOM master list~^^~^^"
)


def test_category_and_type() -> None:
    assert segment_codes(LIVER) == SegmentCodes(
        category=Code("SCT", "123037004", "Anatomical Structure"), type=Code("SCT", "10200004", "Liver")
    )


def test_modifiers_and_region() -> None:
    text = "c~SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass~SCT^7771000^Left~a~SCT^64033007^Kidney~"
    assert segment_codes(text + "SCT^24028007^Right") == SegmentCodes(
        category=Code("SCT", "49755003", "Morphologically Altered Structure"), type=Code("SCT", "4147007", "Mass"),
        type_modifier=Code("SCT", "7771000", "Left"), region=Code("SCT", "64033007", "Kidney"),
        region_modifier=Code("SCT", "24028007", "Right"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "liver", "c~~~~~~", "c~SCT^1^A", "c~SCT^1^A~SCT^^B~^^~a~^^~^^", "c~SCT^1^A~SCT^2^B^C~^^~a~^^~^^",
        "c~SCT^1^A~SCT^2^B\\C~^^~a~^^~^^",
        f"c~SCT^1^A~SCT^2^{65 * 'B'}~^^~a~^^~^^", f"c~SCT^1^A~{17 * 'S'}^2^B~^^~a~^^~^^",
    ],
)  # fmt: skip
def test_anything_else_is_tissue(text: str) -> None:
    codes = segment_codes(text)
    assert codes == SegmentCodes() and codes.category == codes.type == TISSUE
