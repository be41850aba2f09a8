"""Tables of label values in BIDS derivatives: ``dseg.tsv`` with ``index``, ``name`` and ``color``, read and written.

A table is valid for the label maps in its folder and below whose names have all that its own name has, as
``desc-aseg_dseg.tsv`` for ``sub-01_desc-aseg_dseg.nii.gz`` (the specification's inheritance principle); the nearest one
of those counts.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from MedSegTrainerLib.classes import LabelClass, default_color
from MedSegTrainerLib.data.layouts.bids_names import LABELS, read_name
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.files.regular_file import refuse_no_file

SUFFIX = f"{LABELS}.tsv"
HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
LARGEST_BYTES = 16 << 20


def table_of(label: Path, root: Path) -> Path | None:
    """The table for a label map below ``root``; None where there is none."""
    name = read_name(label)
    parts = set() if name is None else {f"{key}-{value}" for key, value in name.entities.items()}
    folder = label.parent
    while folder.is_relative_to(root):
        fitting = [path for path in folder.glob(f"*{SUFFIX}") if _entities(path) <= parts]
        if fitting:
            return max(sorted(fitting), key=lambda path: len(_entities(path)))
        folder = folder.parent
    return None


def read_table(path: Path) -> list[LabelClass]:
    """The classes of a table without the background (0); raises DataError where it is none."""
    refuse_no_file(path)
    if path.stat().st_size > LARGEST_BYTES:
        raise DataError(f"{path} is larger than any table of label values. It is not read.")
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter="\t"))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}. Save it as UTF-8 text with tabs.") from None
    classes = [_class(row, number, path) for number, row in enumerate(rows, start=1)]
    values, names = {item.value for item in classes}, {item.name for item in classes}
    if len(values) < len(classes) or len(names) < len(classes):
        raise DataError(f"{path}: two rows have one index or one name. Give each its own.")
    return [item for item in classes if item.value != 0]


def table_text(classes: Sequence[LabelClass]) -> str:
    """The table of these classes, with the background."""
    rows = [("index", "name", "color"), ("0", "background", "#000000")]
    rows += [(str(item.value), _cell(item.name), "#{:02X}{:02X}{:02X}".format(*item.color)) for item in classes]
    return "".join("\t".join(row) + "\n" for row in rows)


def _entities(path: Path) -> set[str]:
    return set(path.name.removesuffix(SUFFIX).split("_")) - {""}


def _class(row: dict[str, str], number: int, path: Path) -> LabelClass:
    index, name = (row.get("index") or "").strip(), (row.get("name") or "").strip()
    if not re.fullmatch(r"-?[0-9]{1,9}", index) or not name:
        raise DataError(f"{path}: row {number} needs an 'index', a whole number, and a 'name', not {dict(row)!s:.200}.")
    color = (row.get("color") or "").strip()
    if HEX_COLOR.fullmatch(color):
        red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
        return LabelClass(value=int(index), name=name, color=(red, green, blue))
    return LabelClass(value=int(index), name=name, color=default_color(number - 1))


def _cell(text: str) -> str:
    return " ".join(text.split())
