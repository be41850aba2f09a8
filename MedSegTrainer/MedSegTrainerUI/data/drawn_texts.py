"""What was drawn in a case and where, as a cell of the table and its tooltip."""

from __future__ import annotations

from collections.abc import Sequence

from slicer.i18n import tr as _

from MedSegTrainerUI.scene.case_drawing import Drawing
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_classes import State
from MedSegTrainerUI.scene.result_origin import is_result
from MedSegTrainerUI.shared.tables import Cell


def drawn_cell(row: CaseRow, drawing: Drawing | None, segments: Sequence[str]) -> Cell:
    """How many classes were looked for, where it is not each, and which, but of a result of a model.

    drawing: None where the row was not looked at, of which only its ``segments`` are known.
    """
    if drawing is None or not row.use:
        return Cell(text=", ".join(segments), tip="\n".join(segments), faint=not row.use)
    known = [name for name, state in drawing.states.items() if state != "not drawn"]
    where = _where(row, drawing)
    missing = len(known) < len(drawing.states)
    number = _("{n} of {all}").format(n=len(known), all=len(drawing.states)) if missing else ""
    before = ", ".join(text for text in (number, where) if text)
    names = "" if is_result(row.segmentation) else ", ".join(known)  # a model drew all classes that it knows
    tip = [*_class_lines(drawing), region_line(row, drawing), _("A click changes it.")]
    return Cell(
        text=": ".join(text for text in (before, names) if text), tip="\n".join(tip if row.images == () else tip[:-1])
    )


def _where(row: CaseRow, drawing: Drawing) -> str:
    """In a word or two; '' for a case that was drawn as a whole."""
    if row.region == "corrected":
        if drawing.slices == 1:
            return _("1 corrected slice")
        return _("{n} corrected slices").format(n=drawing.slices)
    if row.region == "everywhere":
        return _("looked at all of it") if is_result(row.segmentation) else ""
    return {"slices": _("slices"), "roi": _("ROI"), "box": _("box")}[row.region]


def region_line(row: CaseRow, drawing: Drawing) -> str:
    """Where the case was drawn, in a sentence."""
    if row.region == "slices":
        if drawing.slices and drawing.axis:
            text = _("Drawn in the slices that have something in them: {n} {direction} ones.")
            return text.format(n=drawing.slices, direction=direction_name(drawing.axis))
        return _("Drawn in the slices that have something in them.")
    if row.region == "corrected":
        text = _("A model drew it: only slices that were corrected count as drawn, {n} up to now.")
        if drawing.axis and drawing.slices:
            text = _("A model drew it: only slices that were corrected count as drawn, {n} {direction} ones up to now.")
            return text.format(n=drawing.slices, direction=direction_name(drawing.axis))
        return text.format(n=drawing.slices)
    if is_result(row.segmentation):
        return _("A model drew it, and you looked at all of it.")
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
