"""``suggestions.json`` and ``suggestions.html``: the slices that were chosen, with why, where and a picture."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.job_settings import SuggestConfig
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.class_bits import where_class
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical
from MedSegTrainerLib.imaging.read import read_channels, read_file
from MedSegTrainerLib.inference.result_files import read_result
from MedSegTrainerLib.jobs.apply_inputs import Input
from MedSegTrainerLib.jobs.apply_record import ApplyRecord
from MedSegTrainerLib.report.case_arrays import CaseArrays
from MedSegTrainerLib.report.suggestion_page import draw_suggestion, render_suggestions
from MedSegTrainerLib.suggestion.case_slices import CaseSlices
from MedSegTrainerLib.suggestion.center import center_ras
from MedSegTrainerLib.suggestion.choose import Pick
from MedSegTrainerLib.suggestion.words import reason_text

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
FILE, PAGE = "suggestions.json", "suggestions.html"


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """An image with what the model says of its slices, and the files that were made of it."""

    item: Input
    slices: CaseSlices
    label_map: Path
    uncertainty: Path


def remove_suggestions(record: ApplyRecord) -> None:
    """Those of a time before must not lie beside new predictions; raises UsageError where they are somebody else's."""
    files = [record.folder / name for name in (FILE, PAGE)]
    record.refuse_others(files)
    record.begin(files)
    for file in files:
        with atomic.storage_errors(file):
            file.unlink(missing_ok=True)


def write_suggestions(
    config: SuggestConfig,
    plan: Plan,
    looked_at: Sequence[LookedAt],
    picks: Sequence[Pick],
    notes: Sequence[str],
    record: ApplyRecord,
) -> dict[str, Any]:
    """Writes both files and returns the document. Raises StorageError."""
    output = Path(config.output_dir)
    unseen = _unseen(looked_at)
    entries: list[dict[str, Any]] = []
    pictures: list[bytes | None] = []
    for pick in picks:
        entry, picture = _suggestion(pick, looked_at[pick.case], plan, unseen, output)
        entries.append(entry)
        pictures.append(picture)
    document = {
        "schema_version": SCHEMA_VERSION,
        "ranking": config.ranking,
        "seed": config.seed,
        "models": [config.model, *config.models],
        "images": len(looked_at),
        "notes": list(notes),
        "suggestions": entries,
    }
    atomic.write_json(output / FILE, document)
    atomic.write_bytes(output / PAGE, render_suggestions(document, pictures, plan.classes).encode())
    record.end([output / FILE, output / PAGE])
    return document


def _unseen(looked_at: Sequence[LookedAt]) -> list[int]:
    """Indices of the classes that the model sees in no image."""
    seen = np.any([one.slices.voxels.any(axis=1) for one in looked_at], axis=0)
    return [int(index) for index in np.flatnonzero(~seen)]


def _suggestion(
    pick: Pick, one: LookedAt, plan: Plan, unseen: Sequence[int], output: Path
) -> tuple[dict[str, Any], bytes | None]:
    labels, entropy = read_result(one.label_map, plan), read_file(one.uncertainty)
    axis, grid = one.slices.axis, Geometry.of(labels)
    array = sitk.GetArrayViewFromImage(labels)
    item = None if pick.class_index is None else plan.classes[pick.class_index]
    mask = array != 0 if item is None else where_class(array, item.value, plan.overlapping)
    entry = {
        "case": one.item.name,
        "images": [str(file) for file in one.item.files],
        "axis": axis.name,
        "slice": pick.slice,
        "center_ras": center_ras(sitk.GetArrayViewFromImage(entropy), mask, axis.place, pick.slice, grid),
        "class": "" if item is None else item.name,
        "reason": pick.reason,
        "text": reason_text(pick, one.slices, plan.class_names, unseen),
        "score": round(pick.score, 6),
        "prediction": one.label_map.relative_to(output).as_posix(),
        "uncertainty": one.uncertainty.relative_to(output).as_posix(),
    }
    return entry, _picture(pick, one, plan, labels, entropy)


def _picture(pick: Pick, one: LookedAt, plan: Plan, labels: sitk.Image, entropy: sitk.Image) -> bytes | None:
    """JPEG of the slice; None where the image is not there any more."""
    try:
        image = to_canonical(read_channels(one.item.files)[0])
    except (DataError, OSError):
        logger.warning("An image that was looked at could not be read again", exc_info=True)
        return None
    values = sitk.GetArrayFromImage(to_canonical(labels))
    arrays = CaseArrays(
        prediction=values,
        reference=values,
        image=np.nan_to_num(sitk.GetArrayFromImage(image).astype(np.float32)),
        spacing_zyx=Geometry.of(image).spacing_zyx,
        uncertainty=sitk.GetArrayFromImage(to_canonical(entropy)).astype(np.float32),
        overlapping=plan.overlapping,
    )
    axis = one.slices.axis
    return draw_suggestion(arrays, axis.name, axis.canonical_index(pick.slice), plan.classes)
