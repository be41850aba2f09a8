"""Findings as lists for people: errors in one message, warnings in a line a kind."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.findings import MOST_LISTED, Finding, from_error, refuse_errors, warning_lines, worst_first


def finding(case: str, severity: str = "error", kind: str = "spots") -> Finding:
    return Finding(case=case, severity=severity, kind=kind, message=f"{kind} seen.", remedy="Wash it.")  # type: ignore[arg-type]


class TestFromError:
    def test_the_last_sentence_is_the_remedy(self) -> None:
        error = DataError("a.nii is wrong (the first is 0.5). Is it an image? Give the label map, whole numbers.")
        finding = from_error(error, "label map", "a")
        assert finding.message == "a.nii is wrong (the first is 0.5). Is it an image?"
        assert finding.remedy == "Give the label map, whole numbers."
        assert (finding.case, finding.severity, finding.kind) == ("a", "error", "label map")

    def test_points_in_names_and_numbers_end_no_sentence(self) -> None:
        result = from_error(DataError("/d/a.1.nii.gz: 3.5 mm are too many. Correct it."), "x", "a")
        assert result.message == "/d/a.1.nii.gz: 3.5 mm are too many."

    def test_a_single_sentence_is_what_is_wrong(self) -> None:
        result = from_error(DataError("It broke."), "x", "a")
        assert result.message == "It broke."
        assert "remove the case" in result.remedy


class TestErrors:
    def test_warnings_are_not_refused(self) -> None:
        refuse_errors([finding("a", "warning"), finding("b", "note")])

    def test_one_is_told_alone(self) -> None:
        with pytest.raises(DataError, match=r"^b: spots seen\. Wash it\.$"):
            refuse_errors([finding("a", "warning"), finding("b")])

    def test_of_the_whole_data_set(self) -> None:
        with pytest.raises(DataError, match=r"^spots seen\. Wash it\.$"):
            refuse_errors([finding("")])

    def test_many_are_counted(self) -> None:
        with pytest.raises(DataError) as caught:
            refuse_errors([finding(f"case {index}") for index in range(MOST_LISTED + 3)])
        lines = str(caught.value).splitlines()
        assert lines[0] == f"{MOST_LISTED + 3} problems with the data:"
        assert lines[-1] == "  ... and 3 more"
        assert len(lines) == MOST_LISTED + 2


class TestWarnings:
    def test_a_line_each_kind(self) -> None:
        lines = warning_lines(
            [
                *(finding(f"c{index}", "warning") for index in range(7)),
                finding("d", "warning", "holes"),
                finding("e", "note", "dust"),
                finding("f"),
            ]
        )
        assert len(lines) == 2
        assert lines[0].startswith("Spots, 7 times (c0, c1, c2, c3, c4 and 2 more), such as: c0: spots seen. Wash it.")
        assert lines[1] == "d: holes seen. Wash it."


def test_worst_first_and_kinds_together() -> None:
    findings = [
        finding("a", "note"), finding("b", "warning", "holes"), finding("c", "error", "dust"),
        finding("d", "warning", "spots"), finding("e", "warning", "holes"), finding("f", "error", "spots"),
    ]  # fmt: skip
    assert [one.case for one in worst_first(findings)] == ["f", "c", "d", "b", "e", "a"]
