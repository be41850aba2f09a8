"""The two tables of the data section, cell by cell: cases, and classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from slicer.i18n import tr as _

from MedSegTrainerUI.data.drawn_texts import drawn_cell
from MedSegTrainerUI.scene.case_checks import Finding
from MedSegTrainerUI.scene.case_drawing import Drawing
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.shared.tables import DOT_COLORS, SEVERITIES, Cell, format_ml

USE, VOLUMES, SEGMENTATION, DRAWN, FINDINGS = range(5)
LEARN, CLASS, CASES, ML = range(4)


def pair_cells(
    rows: Sequence[CaseRow],
    findings: Mapping[str, Sequence[Finding]],
    drawings: Mapping[str, Drawing],
    unseen: Collection[str] = (),
) -> list[list[Cell]]:
    """``findings``, ``drawings``: by the name of the row; ``unseen``: names of rows that were not looked at yet."""
    return [
        [
            Cell(checked=row.use, tip=_("Whether the network learns from this case.")),
            Cell(text=", ".join(volume_names(row)), tip="\n".join(row.images or volume_names(row)), faint=not row.use),
            _segmentation_cell(row),
            drawn_cell(row, drawings.get(row.name), segment_names(row)),
            _findings_cell(row, findings.get(row.name, ()), row.name in unseen),
        ]
        for row in rows
    ]


def class_cells(classes: Sequence[SegmentClass], left_out: Sequence[SegmentClass]) -> list[list[Cell]]:
    """The classes that are learned, then those that are left out."""
    rows = []
    for item in [*classes, *left_out]:
        faint = item in left_out
        ml = format_ml(item.ml)
        rows.append(
            [
                Cell(checked=not faint, tip=_("Whether the network learns this class.")),
                Cell(text=item.name, tip=_made_of(item), swatch=item.color, editable=not faint, faint=faint),
                Cell(text=str(item.cases), tip=_cases_tip(item), right=True, faint=faint),
                Cell(text=ml, tip=_("Millilitres of it in all cases together."), right=True, faint=faint),
            ]
        )
    return rows


def volume_names(row: CaseRow) -> list[str]:
    return [volume.GetName() for volume in row.volumes] or [row.name]


def segment_names(row: CaseRow) -> list[str]:
    if row.segmentation is None:
        return list(row.segments)
    content = row.segmentation.GetSegmentation()
    return [content.GetSegment(one).GetName() for one in content.GetSegmentIDs()]


def _segmentation_cell(row: CaseRow) -> Cell:
    if row.segmentation is not None:
        name = row.segmentation.GetName()
        return Cell(text=name, tip=name, faint=not row.use)
    return Cell(text=_("file") if row.label else _("none"), tip=row.label, faint=not row.use)


def _findings_cell(row: CaseRow, findings: Sequence[Finding], is_unseen: bool) -> Cell:
    if not row.use:
        return Cell(text=_("not used"), tip=_("Without a check mark the network does not learn from it."), faint=True)
    if is_unseen:
        return Cell(text="...", tip=_("Its segments are being looked at."), faint=True)
    if not findings:
        return Cell(text=_("ok"), tip=_("Nothing was found to be wrong."), dot=DOT_COLORS[""])
    ordered = sorted(findings, key=lambda one: SEVERITIES.index(one.severity))
    more = f" (+{len(ordered) - 1})" if len(ordered) > 1 else ""
    tip = "\n".join(f"{one.message} {one.remedy}".strip() for one in ordered)
    return Cell(text=ordered[0].message + more, tip=tip, dot=DOT_COLORS[ordered[0].severity])


def _cases_tip(item: SegmentClass) -> str:
    return _("Cases that have it; it was looked for in {n}.").format(n=item.drawn)


def _made_of(item: SegmentClass) -> str:
    if tuple(item.segments) == (item.name,):
        return _("Double-click to rename.")
    return _("Made of the segments {names}. Double-click to rename.").format(names=", ".join(item.segments))
