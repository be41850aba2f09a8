"""What keeps the rows of the table from being trained on, in one sentence that says what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from MedSegTrainerUI.case_rows import CaseRow
from MedSegTrainerUI.data_tables import segment_names
from slicer.i18n import tr as _


@dataclass(frozen=True, kw_only=True)
class Problem:
    """``text`` is '' where there is none. ``merge``: two classes that may be the same, so that one click can mend it."""

    text: str = ""
    merge: tuple[str, ...] = ()


def find_problem(rows: Sequence[CaseRow], classes: Sequence[Any], findings: Sequence[Any]) -> Problem:
    """Of all rows, the classes of those in use, and what was found in these."""
    used = [row for row in rows if row.use]
    if not rows:
        return Problem(text=_("Add what you segmented: 'Add all from scene' takes each volume with its segmentation."))
    if not used:
        return Problem(text=_("No row has a check mark. Set it for the cases to train on."))
    bare = next((row for row in used if row.segmentation is None and not row.label), None)
    if bare is not None:
        return Problem(
            text=_(
                "{volume} has no segmentation. Segment it in the Segment Editor and add it again with its segmentation, "
                "or take its check mark away."
            ).format(volume=bare.name)
        )
    errors = [one for one in findings if one.severity == "error"]
    if errors:
        return Problem(text=" ".join(filter(None, (_where(errors[0]), errors[0].message, errors[0].remedy))))
    if not classes:
        return Problem(text=_("There is no class to learn. Set the check mark of at least one in the list of classes."))
    return _different_names(used, classes)


def _different_names(rows: Sequence[CaseRow], classes: Sequence[Any]) -> Problem:
    """Names of one thing that were spelled differently, or two cases that have no class in common."""
    for first, second in combinations(classes, 2):
        if _spelling(first.name) == _spelling(second.name):
            text = _("The classes '{first}' and '{second}' are spelled almost alike. Merge them, or rename one.")
            return Problem(text=text.format(first=first.name, second=second.name), merge=(first.name, second.name))
    owned = {tuple(_classes_of(row, classes)): row.name for row in rows}  # of cases with the same classes one will do
    for (own, case), (others, other) in combinations(owned.items(), 2):
        if own and others and not set(own) & set(others):
            text = _(
                "{case} has the segment '{name}' and {other} has '{others}', and no class is in both. If these are the "
                "same, merge them in the list of classes; if not, leave out what was not segmented everywhere."
            ).format(case=case, name=", ".join(own), other=other, others=", ".join(others))
            return Problem(text=text, merge=(own[0], others[0]))
    return Problem()


def _classes_of(row: CaseRow, classes: Sequence[Any]) -> list[str]:
    names = set(segment_names(row))
    return [item.name for item in classes if names & set(item.segments)]


def _spelling(name: str) -> str:
    return " ".join(re.split(r"[\s_.-]+", name.casefold())).strip()


def _where(finding: Any) -> str:
    return f"{finding.case}:" if finding.case and finding.case not in finding.message else ""
