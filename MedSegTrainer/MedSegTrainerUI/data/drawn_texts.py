"""What was drawn in a case and where, as a cell of the table and its tooltip."""

from __future__ import annotations

from slicer.i18n import tr as _

from MedSegTrainerUI.scene.case_drawing import Drawing
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_classes import State
from MedSegTrainerUI.shared.tables import Cell


def drawn_cell(row: CaseRow, drawing: Drawing | None) -> Cell:
    """``drawing``: None where the row was not looked at yet."""
    if not row.use:
        return Cell(tip=_("Without a check mark the network does not learn from it."))
    if drawing is None:
        return Cell(text="...", tip=_("Its segments are being looked at."), faint=True)
    known = sum(state != "not drawn" for state in drawing.states.values())
    number = _("all") if known == len(drawing.states) else _("{n} of {all}").format(n=known, all=len(drawing.states))
    where = {"everywhere": "", "slices": _("slices"), "roi": _("ROI"), "box": _("box")}[row.region]
    text = f"{number}, {where}" if where else number
    return Cell(text=text, tip="\n".join([*_class_lines(drawing), region_line(row, drawing)]))


def region_line(row: CaseRow, drawing: Drawing) -> str:
    """Where the case was drawn, in a sentence."""
    if row.region == "slices":
        if drawing.slices and drawing.axis:
            text = _("Drawn in the slices that have something in them: {n} {direction} ones.")
            return text.format(n=drawing.slices, direction=direction_name(drawing.axis))
        return _("Drawn in the slices that have something in them.")
    if row.region == "roi":
        return _("Drawn inside the ROI {name}.").format(name=row.roi.GetName() if row.roi is not None else "?")
    if row.region == "box":
        return _("Drawn inside a box that its folder names.")
    return _("Drawn everywhere in the volume.")


def direction_name(axis: str) -> str:
    """What Slicer calls the slices that lie one behind the other along an axis of the patient."""
    return {"x": _("sagittal"), "y": _("coronal"), "z": _("axial")}[axis]


def state_name(state: State) -> str:
    return {"drawn": _("drawn"), "absent": _("looked for, not there"), "not drawn": _("not drawn")}[state]


def _class_lines(drawing: Drawing) -> list[str]:
    lines = []
    for state, text in (
        ("drawn", _("Drawn: {names}.")),
        ("absent", _("Looked for, and not there: {names}.")),
        ("not drawn", _("Not drawn, so nothing is known of it: {names}.")),
    ):
        names = [name for name, own in drawing.states.items() if own == state]
        if names:
            lines.append(text.format(names=", ".join(names)))
    return lines
