"""What keeps the rows of the table from being trained on, in one sentence that says what to do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from slicer.i18n import tr as _

from MedSegTrainerUI.data.tables import segment_names
from MedSegTrainerUI.scene.case_checks import Finding
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.shared.tables import SEVERITIES


@dataclass(frozen=True, kw_only=True)
class Problem:
    """``text`` is '' where there is none. ``blocks``: training is refused because of it. severity: how it looks.

    action: what a button can do about it, '' where the user has to think: merge (the classes ``names``) or rename (the
    first of them).
    """

    text: str = ""
    blocks: bool = True
    severity: str = "error"
    action: str = ""
    names: tuple[str, ...] = ()


def find_problem(rows: Sequence[CaseRow], classes: Sequence[SegmentClass], findings: Sequence[Finding]) -> Problem:
    """Of all rows, the classes of those in use, and what was found in these."""
    used = [row for row in rows if row.use]
    if not rows:
        text = _("Add what you segmented: 'Add all from scene' takes each volume with its segmentation.")
        return Problem(text=text, severity="note")
    if not used:
        return Problem(text=_("No row has a check mark. Set it for the cases to train on."))
    bare = next((row for row in used if row.segmentation is None and not row.label), None)
    if bare is not None:
        return Problem(
            text=_(
                "{volume} has no segmentation. Segment it in the Segment Editor and add it again with its "
                "segmentation, or take its check mark away."
            ).format(volume=bare.name)
        )
    errors = [one for one in findings if one.severity == "error"]
    if errors:
        return Problem(text=_line(errors[0]), action=errors[0].action)
    if not classes:
        return Problem(text=_("There is no class to learn. Set the check mark of at least one in the list of classes."))
    return _spelled_alike(classes) or _alone(used, classes) or _about_all(findings, classes)


def repair_text(problem: Problem) -> str:
    """What the button says that does the ``action``."""
    if problem.action == "rename":
        return _("Rename '{name}'").format(name=problem.names[0])
    return _("Merge '{names}'").format(names=_("' and '").join(problem.names))


def status_text(rows: Sequence[CaseRow], classes: Sequence[SegmentClass], blocking: str, is_known: bool) -> str:
    """How much there is, and whether it can be trained on. is_known: all rows were looked at."""
    if not rows:
        return _("no volumes yet")
    cases = sum(row.use for row in rows)
    volumes = _("1 volume") if cases == 1 else _("{n} volumes").format(n=cases)
    number = _("1 class") if len(classes) == 1 else _("{n} classes").format(n=len(classes))
    state = _("being looked at") if not is_known else _("not ready") if blocking else _("ready")
    return _("{volumes}, {classes}, {state}").format(volumes=volumes, classes=number, state=state)


def _spelled_alike(classes: Sequence[SegmentClass]) -> Problem | None:
    """Names of one thing that were spelled differently."""
    spelled: dict[str, str] = {}
    for item in classes:
        if _spelling(item.name) in spelled:
            text = _("The classes '{names}' are spelled almost alike. Merge them, or rename one.")
            both = spelled[_spelling(item.name)], item.name
            return Problem(text=text.format(names=_("' and '").join(both)), action="merge", names=both)
        spelled[_spelling(item.name)] = item.name
    return None


def _alone(rows: Sequence[CaseRow], classes: Sequence[SegmentClass]) -> Problem | None:
    """A case of which no other has a class: it was drawn for something else, or named otherwise."""
    owned = {row.name: _classes_of(row, classes) for row in rows}
    having = Counter(name for own in owned.values() for name in own)
    for (case, own), (other, others) in permutations(owned.items(), 2):
        if own and others and all(having[name] == 1 for name in own):
            text = _(
                "{case} has '{names}', which no other case has; {other} has '{others}'. Merge what is the same. What "
                "is not drawn in a case counts as unknown there."
            ).format(case=case, names=", ".join(own), other=other, others=", ".join(others))
            both = own[0], others[0]
            return Problem(text=text, blocks=False, severity="warning", action="merge", names=both)
    return None


def _about_all(findings: Sequence[Finding], classes: Sequence[SegmentClass]) -> Problem:
    """What no row can show, as it is about all of them."""
    general = [one for one in findings if not one.case]
    if not general:
        return Problem()
    first = min(general, key=lambda one: SEVERITIES.index(one.severity))
    names = tuple(item.name for item in classes if item.name in first.message)
    action = first.action if names else ""
    return Problem(text=_line(first), blocks=False, severity=first.severity, action=action, names=names)


def _classes_of(row: CaseRow, classes: Sequence[SegmentClass]) -> list[str]:
    names = set(segment_names(row))
    return [item.name for item in classes if names & set(item.segments)]


def _spelling(name: str) -> str:
    return " ".join(re.split(r"[\s_.-]+", name.casefold())).strip()


def _line(finding: Finding) -> str:
    case = f"{finding.case}: " if finding.case and finding.case not in finding.message else ""
    return f"{case}{finding.message} {finding.remedy}".strip()
