"""What the data doctor says of cases of which a part alone is labelled."""

from __future__ import annotations

from collections.abc import Iterator

from MedSegTrainerLib.data.checks.case_scan import CaseScan, Examined
from MedSegTrainerLib.data.checks.known_part import NOTHING
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.partly_labelled import AUTO


def partly_labelled(examined: Examined) -> Iterator[Finding]:
    """How much of a case is labelled; a warning where it is nothing, and where the slices look like a whole drawing."""
    for scan in examined.scans:
        if scan.known is None:
            yield from _single_slices(scan)
            continue
        if not scan.known.slices:
            yield Finding(
                case=scan.name,
                severity="warning",
                kind="case without labels",
                message=f"{NOTHING}: it is left out, as it teaches nothing and judges nothing.",
                remedy="Label a part of it, or remove the case.",
            )
            continue
        yield Finding(
            case=scan.name,
            severity="note",
            kind="labelled in part",
            message=f"{scan.known}.",
            remedy="Nothing to do: the rest counts neither in training nor in scores.",
        )
        if _looks_whole(scan):
            yield Finding(
                case=scan.name,
                severity="warning",
                kind="labelled slices without a gap",
                message=f"labelled_slices is {AUTO}, and {scan.known.slices} slices along {scan.known.axis} follow "
                "each other: those beyond count as not labelled, although perhaps nothing was there to draw.",
                remedy="Leave labelled_slices out for a case in which all was drawn.",
            )


def _single_slices(scan: CaseScan) -> Iterator[Finding]:
    if scan.single_slices:
        yield Finding(
            case=scan.name,
            severity="warning",
            kind="single slices",
            message=f"its labels are single slices along {scan.single_slices} with nothing between them, and what lies "
            "between is learned as background.",
            remedy="Where these slices alone were done: --set labelled_slices=auto, or labelled_slices in cases.json.",
        )


def _looks_whole(scan: CaseScan) -> bool:
    part = scan.known
    return scan.labelled_slices == AUTO and part is not None and part.slices > 1 and not part.has_gaps
