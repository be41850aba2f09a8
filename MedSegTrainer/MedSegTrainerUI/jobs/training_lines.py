"""Trainings of one line: each began as the model of one before it, and the first as none of this list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from MedSegTrainerUI.jobs.job_list import JobSummary


def lines_of(summaries: Sequence[JobSummary]) -> list[list[JobSummary]]:
    """The lines, each with its trainings in the order that was given: of several that began as one all are in its line.

    A line stands where the first of its trainings stood.
    """
    by_name = {one.name: one for one in summaries}
    lines: dict[str, list[JobSummary]] = {}
    for one in summaries:
        lines.setdefault(_first(one, by_name), []).append(one)
    return list(lines.values())


def _first(summary: JobSummary, by_name: Mapping[str, JobSummary]) -> str:
    """The name of the training that a line began with, as far as its trainings are there."""
    seen = {summary.name}
    while summary.started_from in by_name and summary.started_from not in seen:
        summary = by_name[summary.started_from]
        seen.add(summary.name)
    return summary.name
