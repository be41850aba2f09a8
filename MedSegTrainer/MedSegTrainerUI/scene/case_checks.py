"""What is quickly seen to be wrong with the rows of the table, in the scene and before anything is exported."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_classes import drawn_classes
from MedSegTrainerUI.scene.export_labels import Overlap, find_overlaps, overlap_text
from MedSegTrainerUI.scene.labelled_region import region_facts
from MedSegTrainerUI.scene.segment_classes import SegmentClass, same_name, segments_of_classes
from MedSegTrainerUI.scene.segment_layers import (
    box_on_grid,
    content_of,
    layer_to_grid,
    segment_ids,
    segment_name,
    segment_volumes,
    stored_layers,
)
from MedSegTrainerUI.scene.volumes import relative_matrix, volume_array, volume_geometry

MOST_OUTSIDE = 0.2  # part of a layer's box beyond the volume that is still taken for a rim
MOST_OF_A_SLIP = 0.05  # part of the smaller of two segments that overlap by mistake
GENERIC_NAME = re.compile(r"segment[_ ]?\d*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: what is wrong, and ``remedy``, what to do about it.

    severity: error (training is refused), warning or note. case: the name of the row, '' for all. action: what the
    panel can do about it: "" (nothing), "merge", "rename".
    """

    severity: str
    message: str
    remedy: str
    case: str = ""
    action: str = ""


def check_rows(
    rows: Sequence[CaseRow], classes: Sequence[SegmentClass], *, overlap: Overlap = "masks"
) -> list[Finding]:
    """What is wrong with each row, and with the rows together."""
    findings = [one for row in rows for one in check_row(row, classes, overlap=overlap)]
    return [*findings, *check_together(rows, classes, overlap=overlap)]


def check_together(
    rows: Sequence[CaseRow], classes: Sequence[SegmentClass], *, overlap: Overlap = "masks"
) -> list[Finding]:
    """What no row alone shows."""
    overlapping = _overlapping_together(rows, classes) if overlap == "masks" else []
    return [*_used_twice(rows), *_channels(rows), *overlapping, *_never_drawn(classes), *_names(rows, classes)]


def check_row(row: CaseRow, classes: Sequence[SegmentClass], *, overlap: Overlap = "masks") -> list[Finding]:
    """What is wrong with one row; rows of files are looked at by the doctor, not here."""
    if row.images:
        return []
    try:
        findings = _nodes_missing(row) or _unreadable(row) or _content(row, classes, overlap)
    except DataError as error:
        findings = [Finding(severity="error", message=str(error), remedy="")]
    return [replace(one, case=row.name) for one in findings]


def _nodes_missing(row: CaseRow) -> list[Finding]:
    if not row.volumes:
        return [Finding(severity="error", message=_("No volume."), remedy=_("Choose the volume of this case."))]
    if row.segmentation is None:
        remedy = _("Segment it in the Segment Editor, choose its segmentation, or take the check mark away.")
        return [Finding(severity="error", message=_("No segmentation belongs to this volume."), remedy=remedy)]
    if not segment_ids(row.segmentation):
        remedy = _("Segment it in the Segment Editor, or take the check mark away.")
        return [Finding(severity="error", message=_("The segmentation has no segments."), remedy=remedy)]
    return []


def _unreadable(row: CaseRow) -> list[Finding]:
    """Raises DataError where a volume cannot be exported, or lies under transforms that cannot be undone."""
    for node in (*row.volumes, row.segmentation):
        relative_matrix(node, row.volumes[0])
    for volume in row.volumes:
        volume_array(volume)
    return []


def _content(row: CaseRow, classes: Sequence[SegmentClass], overlap: Overlap) -> list[Finding]:
    sizes = segment_volumes(row.segmentation)
    drawn = drawn_classes(row, classes)
    owners = segments_of_classes(row.segmentation, drawn)
    if not owners:
        remedy = _("Choose a class that is here, or take the check mark away.")
        return [Finding(severity="error", message=_("Nothing of the chosen classes was drawn here."), remedy=remedy)]
    if not any(sizes[segment_id] for segment_id in owners):
        return _all_empty(row)
    return [
        *_outside(row),
        *_overlapping(row, drawn, overlap),
        *_region(row, drawn),
        *_hidden(row, owners),
    ]


def _all_empty(row: CaseRow) -> list[Finding]:
    """A case where everything was looked for and is absent is one to learn from; more often it was forgotten."""
    remedy = _("If they are there, segment them, or take the check mark away.")
    message = _("All segments are empty: they count as looked for and not there. Is that so?")
    empty = Finding(severity="warning", message=message, remedy=remedy)
    if row.region != "slices":
        return [empty, *_region(row, [])]
    message = _("All segments are empty, so no slice was drawn.")
    return [Finding(severity="error", message=message, remedy=remedy)]


def _region(row: CaseRow, drawn: Sequence[SegmentClass]) -> list[Finding]:
    """Raises DataError where the region in which the case was labelled is none."""
    if row.region == "everywhere":
        return []
    facts = region_facts(row, drawn)
    if facts.inside == facts.voxels:
        return []
    remedy = _("Move the ROI, or choose where it was drawn with a click in the column 'Drawn'.")
    if not facts.inside:
        message = _("Nothing is drawn inside the ROI {name}.").format(name=row.roi.GetName())
        return [Finding(severity="error", message=message, remedy=remedy)]
    percent = max(1, round(100 * (1 - facts.inside / facts.voxels)))
    message = _("{percent} % of what is drawn lies outside of the ROI, and is not learned.").format(percent=percent)
    return [Finding(severity="note", message=message, remedy="")]


def _outside(row: CaseRow) -> list[Finding]:
    volume = row.volumes[0]
    size = np.array(volume_geometry(volume).size)
    inside = whole = 0.0
    for layer in stored_layers(row.segmentation, segment_ids(row.segmentation)):
        content = content_of(layer.image)
        if content.low is None:
            continue
        low = np.array(content.low) + layer.image.GetExtent()[::2]
        first, last = box_on_grid(layer_to_grid(layer, row.segmentation, volume), low, content.size)
        whole += float(np.prod(last - first))
        inside += float(np.prod(np.maximum(np.minimum(last, size - 0.5) - np.maximum(first, -0.5), 0)))
    if not whole or inside >= (1 - MOST_OUTSIDE) * whole:
        return []
    remedy = _("Is it the segmentation of another volume, or under another transform?")
    if not inside:
        return [Finding(severity="error", message=_("The segments lie outside of the volume."), remedy=remedy)]
    message = _("A part of the segments lies outside of the volume, and is not learned.")
    return [Finding(severity="warning", message=message, remedy=remedy)]


def _overlapping(row: CaseRow, classes: Sequence[SegmentClass], overlap: Overlap) -> list[Finding]:
    overlaps = find_overlaps(row.segmentation, row.volumes[0], classes)
    if not overlaps:
        return []
    if overlap == "refuse":
        return [Finding(severity="error", message=overlap_text(overlaps, row.volumes[0]), remedy="")]
    if overlap == "masks":
        message = _("Segments overlap, and each is learned whole: {pairs}.")
        pairs = _("'{first}' and '{second}' ({ml} ml)")
    else:
        message = _("Segments overlap; the later class wins: {pairs}.")
        pairs = _("'{second}' over '{first}' ({ml} ml)")
    voxel_ml = volume_geometry(row.volumes[0]).voxel_ml
    listed = [pairs.format(first=a.name, second=b.name, ml=f"{count * voxel_ml:.2g}") for a, b, count in overlaps]
    return [Finding(severity="note", message=message.format(pairs=", ".join(listed)), remedy="")]


def _overlapping_together(rows: Sequence[CaseRow], classes: Sequence[SegmentClass]) -> list[Finding]:
    """What training on overlapping segments means for all, or that it would be for the sake of a slip in one case."""
    shared = {row.name: (row, pairs) for row in rows if (pairs := row_overlaps(row, classes))}
    if not shared:
        return []
    row, pairs = next(iter(shared.values()))
    if len(shared) == 1 and _is_slip(row, pairs):
        ml = sum(count for _a, _b, count in pairs) * volume_geometry(row.volumes[0]).voxel_ml
        message = _("Segments overlap in {case} alone, by {ml} ml: a slip of the pen?")
        remedy = _(
            "Erase it there in the Segment Editor (Masking: Overwrite other segments), or let the later class win. As "
            "it is, all classes are learned as overlapping ones."
        )
        return [Finding(severity="warning", message=message.format(case=row.name, ml=f"{ml:.2g}"), remedy=remedy)]
    message = _("Segments overlap in {count} cases: a voxel can have several classes, and each is learned by itself.")
    if len(shared) == 1:
        message = _("Segments overlap in {case}: a voxel can have several classes, and each is learned by itself.")
    return [Finding(severity="note", message=message.format(count=len(shared), case=row.name), remedy="")]


def row_overlaps(row: CaseRow, classes: Sequence[SegmentClass]) -> list[tuple[SegmentClass, SegmentClass, int]]:
    """``find_overlaps`` of what was drawn in a row; none where it is of files, or cannot be looked at."""
    if row.segmentation is None or not row.volumes:
        return []
    with suppress(DataError):  # told by the check of the row
        return find_overlaps(row.segmentation, row.volumes[0], drawn_classes(row, classes))
    return []


def _is_slip(row: CaseRow, pairs: Sequence[tuple[SegmentClass, SegmentClass, int]]) -> bool:
    """Whether each pair shares a small part of the smaller of the two."""
    ml: dict[str, float] = {}
    sizes = segment_volumes(row.segmentation, row.volumes[0])
    for segment_id, item in segments_of_classes(row.segmentation, [one for pair in pairs for one in pair[:2]]).items():
        ml[item.name] = ml.get(item.name, 0.0) + sizes[segment_id]
    voxel_ml = volume_geometry(row.volumes[0]).voxel_ml
    return all(count * voxel_ml < MOST_OF_A_SLIP * min(ml[a.name], ml[b.name]) for a, b, count in pairs)


def _hidden(row: CaseRow, owners: dict[str, SegmentClass]) -> list[Finding]:
    display = row.segmentation.GetDisplayNode()
    hidden = [one for one in owners if display is not None and not display.GetSegmentVisibility(one)]
    if not hidden or len(hidden) == len(owners):  # all hidden: to see the volume, not to choose
        return []
    names = ", ".join(segment_name(row.segmentation, one) for one in hidden)
    return [
        Finding(
            severity="note",
            message=_("Hidden in the views, and learned all the same: {names}.").format(names=names),
            remedy=_("Leave the class out if it is not to be learned."),
        )
    ]


def _used_twice(rows: Sequence[CaseRow]) -> list[Finding]:
    """A case that is there twice would be learned from and measured on at the same time."""
    users = Counter(node for row in rows for node in {*row.volumes, row.segmentation} if node is not None)
    return [
        Finding(
            severity="error" if node.IsA("vtkMRMLSegmentationNode") else "warning",
            case=row.name,
            message=_("{node} is used in several rows.").format(node=node.GetName()),
            remedy=_("Keep one of them."),
        )
        for row in rows
        for node in (*row.volumes, row.segmentation)
        if node is not None and users[node] > 1
    ]


def _channels(rows: Sequence[CaseRow]) -> list[Finding]:
    counts = Counter(len(row.volumes or row.images) for row in rows if row.volumes or row.images)
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    return [
        Finding(
            severity="error",
            case=row.name,
            message=_("Has {count} volumes, and other cases have {usual}.").format(
                count=len(row.volumes or row.images), usual=usual
            ),
            remedy=_("Give every case the same kinds of volumes in the same order."),
        )
        for row in rows
        if (row.volumes or row.images) and len(row.volumes or row.images) != usual
    ]


def _never_drawn(classes: Sequence[SegmentClass]) -> list[Finding]:
    """Classes of which no case has a voxel: the network cannot learn what they look like."""
    findings = []
    for item in classes:
        if not item.cases:
            text = _("'{name}' was looked for and is in no case.") if item.drawn else _("'{name}' is drawn in no case.")
            remedy = _("Draw it in one, or leave the class out.")
            findings.append(Finding(severity="error", message=text.format(name=item.name), remedy=remedy))
    return findings


def _names(rows: Sequence[CaseRow], classes: Sequence[SegmentClass]) -> list[Finding]:
    """What was taken for the same by its name, for the user to see."""
    findings = []
    for item in classes:
        spelled = [name for name in item.segments if same_name(name) == same_name(item.name)]
        if len(spelled) > 1:
            message = _("Spelled differently, and taken for one class: {names}.").format(names=", ".join(spelled))
            findings.append(Finding(severity="note", message=message, remedy=""))
    generic = [item.name for item in classes if GENERIC_NAME.fullmatch(item.name)]
    if generic and len(rows) > 1:
        message = _("{names}: the name does not say what it is, and segments are matched by their names.")
        remedy = _("Name the segments after the structures, the same in every case.")
        text = message.format(names=", ".join(generic))
        findings.append(Finding(severity="warning", message=text, remedy=remedy, action="rename"))
    return findings


def error_lines(findings: Sequence[Finding]) -> str:
    """The errors in words, a line each; '' when there is none."""
    lines = [f"{one.case}: {one.message} {one.remedy}".strip() for one in findings if one.severity == "error"]
    return "\n".join(line.removeprefix(": ") for line in lines)
