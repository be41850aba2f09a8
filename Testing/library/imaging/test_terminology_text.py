"""Codes of DICOM as Slicer's text, and back as results have them."""

from __future__ import annotations

import pydicom
import pytest

from MedSegTrainerLib.imaging.segment_codes import segment_codes
from MedSegTrainerLib.imaging.terminology_text import code_meaning, kind_text, terminology_text


def code(value: str, meaning: str, **further: list[pydicom.Dataset]) -> list[pydicom.Dataset]:
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    for keyword, sequence in further.items():
        setattr(item, keyword, sequence)
    return [item]


@pytest.fixture
def kidney() -> pydicom.Dataset:
    segment = pydicom.Dataset()
    segment.SegmentedPropertyCategoryCodeSequence = code("49755003", "Morphologically Altered Structure")
    segment.SegmentedPropertyTypeCodeSequence = code(
        "4147007", "Mass", SegmentedPropertyTypeModifierCodeSequence=code("24028007", "Right")
    )
    segment.AnatomicRegionSequence = code("64033007", "Kidney", AnatomicRegionModifierSequence=code("7771000", "Left"))
    return segment


def test_all_codes(kidney: pydicom.Dataset) -> None:
    assert terminology_text(kidney) == (
        "Segmentation category and type - DICOM master list~SCT^49755003^Morphologically Altered Structure"
        "~SCT^4147007^Mass~SCT^24028007^Right~Anatomic codes - DICOM master list~SCT^64033007^Kidney~SCT^7771000^Left"
    )
    assert code_meaning(kidney) == "Mass"
    codes = segment_codes(terminology_text(kidney))
    assert codes.region is not None and codes.region_modifier is not None
    assert (codes.type.value, codes.region.meaning, codes.region_modifier.meaning) == ("4147007", "Kidney", "Left")


def test_letters_that_separate_are_left_out(kidney: pydicom.Dataset) -> None:
    kidney.SegmentedPropertyTypeCodeSequence[0].CodeMeaning = "a~b^c|d\ne"
    assert segment_codes(terminology_text(kidney)).type.meaning == "a b c d e"


def test_a_long_code(kidney: pydicom.Dataset) -> None:
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    del kind.CodeValue
    kind.LongCodeValue = "123456789012345678"
    assert segment_codes(terminology_text(kidney)).type.value == "123456789012345678"


def test_without_category_or_type_there_is_no_text(kidney: pydicom.Dataset) -> None:
    del kidney.SegmentedPropertyCategoryCodeSequence
    assert terminology_text(kidney) == "" and kind_text(None) == ""


def test_the_code_of_a_structure() -> None:
    codes = segment_codes(kind_text(code("10200004", "Liver")[0]))
    assert (codes.category.meaning, codes.type.meaning, codes.region) == ("Tissue", "Liver", None)
