"""What is wrong with data, as values: with which case, how bad it is, what it is, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from MedSegTrainerLib.errors import DataError, some

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
MOST_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """``error``: training refuses it. ``warning``: the model will suffer, or be judged wrongly. ``note``: good to know.

    kind: the words under which findings of a sort are counted. message: what is wrong, with the figures.
    remedy: what to do. case: its name, '' where the data set as a whole is meant.
    """

    severity: Severity
    kind: str
    message: str
    remedy: str
    case: str = ""

    @property
    def text(self) -> str:
        """Everything in a line."""
        return f"{f'{self.case}: ' if self.case else ''}{self.message} {self.remedy}"


def from_error(error: DataError, kind: str, case: str) -> Finding:
    """A reader's error as a finding: by the rule of this project its last sentence says what to do."""
    sentences = re.split(r"(?<=[.?!)]) (?=[A-Z])", str(error))
    message, remedy = " ".join(sentences[:-1]), sentences[-1]
    return Finding(
        case=case,
        severity="error",
        kind=kind,
        message=message or remedy,
        remedy=remedy if message else "Correct it, or remove the case.",
    )


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """By severity, then findings of a kind together, in the order in which they were found."""
    ordered = list(findings)
    kinds = list(dict.fromkeys(finding.kind for finding in ordered))
    return sorted(ordered, key=lambda finding: (SEVERITIES.index(finding.severity), kinds.index(finding.kind)))


def refuse_errors(findings: Iterable[Finding]) -> None:
    """Raises one DataError that lists every finding that is an error."""
    problems = [finding.text for finding in findings if finding.severity == "error"]
    if len(problems) == 1:
        raise DataError(problems[0])
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems[:MOST_LISTED])
        more = f"\n  ... and {len(problems) - MOST_LISTED} more" if len(problems) > MOST_LISTED else ""
        raise DataError(f"{len(problems)} problems with the data:\n{lines}{more}")


def warning_lines(findings: Iterable[Finding]) -> list[str]:
    """The warnings, a line for each kind: the only one as it is, of several the first and the names of all."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.severity == "warning":
            by_kind.setdefault(finding.kind, []).append(finding)
    return [_line(kind, group) for kind, group in by_kind.items()]


def _line(kind: str, group: Sequence[Finding]) -> str:
    if len(group) == 1:
        return group[0].text
    names = some([finding.case for finding in group if finding.case])
    where = f" ({names})" if names else ""
    title = f"{kind[:1].upper()}{kind[1:]}, {len(group)} times{where}"
    return f"{title}, such as: {group[0].text} 'medsegtrainer verify' lists all."
