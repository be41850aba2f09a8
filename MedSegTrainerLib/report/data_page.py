"""The document of ``verify.json`` as one HTML page with its pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from MedSegTrainerLib.classes import unknown_classes
from MedSegTrainerLib.report.evaluation_page import FOLDER, fill

TEMPLATE = FOLDER / "doctor.html.j2"
MOST_IN_TABLE = 12  # kinds with more findings have a table of their own, folded


def render(document: Mapping[str, Any], pictures: Mapping[str, bytes | None], samples: bytes | None) -> str:
    """The page as text. pictures: a JPEG of each case that is shown, in order, None where its files are unreadable."""
    findings = document["findings"]
    groups = _of_kind(findings)
    names = [item["name"] for item in document["classes"]]
    unknown = {case["name"]: unknown_classes(names, case["drawn"]) for case in document["cases"]}
    return fill(
        TEMPLATE,
        {"percent": percent, "short": short, "capitalize_first": capitalize_first},
        document=document,
        tiles=_tiles(document["counts"], len(document["cases"])),
        few=[one for group in groups if len(group["findings"]) <= MOST_IN_TABLE for one in group["findings"]],
        many=[group for group in groups if len(group["findings"]) > MOST_IN_TABLE],
        colors={item["name"]: "#{:02x}{:02x}{:02x}".format(*item["color"]) for item in document["classes"]},
        samples=_base64(samples),
        partly_drawn=any(unknown.values()),
        not_drawn={name: [names[index - 1] for index in indices] for name, indices in unknown.items()},
        cases_read=sum(case["size"] is not None for case in document["cases"]),
        selected_cases=[
            {
                "name": name,
                "picture": _base64(picture),
                "findings": [finding for finding in findings if finding["case"] == name],
            }
            for name, picture in pictures.items()
        ],
    )


def percent(share: float) -> str:
    """Of small shares two digits that count."""
    return f"{share:.2%}" if share >= 0.01 else f"{100 * share:.2g}%"


def short(value: float | None) -> str:
    """A number with four digits that count, or a whole one."""
    return "" if value is None else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def capitalize_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _tiles(counts: Mapping[str, int], cases: int) -> list[tuple[str, str, str]]:
    """The headline: (title, number, remark)."""
    verdict = "training would refuse this data" if counts["error"] else "training would start"
    return [
        ("Errors", str(counts["error"]), verdict),
        ("Warnings", str(counts["warning"]), "doubtful: look at them"),
        ("Notes", str(counts["note"]), "good to know"),
        ("Cases", str(cases), "with image and label map"),
    ]


def _of_kind(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Findings of a kind together, in their order, which is worst first."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for finding in findings:
        groups.setdefault((finding["severity"], finding["kind"]), []).append(finding)
    return [{"severity": severity, "kind": kind, "findings": group} for (severity, kind), group in groups.items()]


def _base64(picture: bytes | None) -> str:
    return base64.b64encode(picture).decode() if picture else ""
