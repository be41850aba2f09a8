"""The cases that trained a model and the models it began as, by name and content: ``training`` in ``model.json``.

``cases`` has an entry for each case, {"images": [...], "label": ..., "part": "train", "val" or "test"}, with the
SHA-256 of the files. ``lineage`` lists the models before, the first one first: {"name", "when", "dice", "classes",
"cases", "minutes"}, of which "minutes" of training are not there where nobody knows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from MedSegTrainerLib.data.case_contents import CaseRecord
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.files.typed import fits

MOST_MODELS = 100  # before a model
NAMES_LISTED = 12
PARTS = ("train", "val", "test")
UNCHANGED = "No epoch of this training was better than the model that it began as"


@dataclass(frozen=True, kw_only=True)
class EarlierCases:
    """The part that cases had in the trainings of a model and of those before it, by name and by the content of their
    images: 'train' where any of them trained on it, else the part in the last one."""

    by_name: Mapping[str, str] = field(default_factory=dict)
    by_content: Mapping[str, str] = field(default_factory=dict, repr=False)

    def parts_of(self, cases: Mapping[str, CaseRecord]) -> dict[str, str]:
        """Name to part of those of the cases that were there: by the content of their images, else by their name."""
        parts = {}
        for name, case in cases.items():
            contents = [self.by_content[image.content] for image in case.images if image.content in self.by_content]
            found = contents or [self.by_name[name] for _ in range(name in self.by_name)]
            if found:
                parts[name] = "train" if "train" in found else found[0]
        return parts


def case_entries(cases: Mapping[str, CaseRecord], split: Split) -> dict[str, dict[str, Any]]:
    """``training.cases`` of a model."""
    parts = {"test": split.test, "val": split.val, "train": split.train}  # a single case is in two of them
    return {
        name: {"images": [image.content for image in case.images], "label": case.label.content, "part": part}
        for part, names in parts.items()
        for name in names
        if (case := cases.get(name)) is not None
    }


def lineage_of(
    training: Mapping[str, Any],
    dice: object,
    classes: Sequence[str],
    name: str,
    when: str,
    curves: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """``training.lineage`` of a model that begins as the one with this ``training``, Dice and classes.

    when: it was made, as YYYY-MM-DD. curves: of the model, whose last point tells how long it trained. Raises
    ModelError where what the model tells of its training is damaged.
    """
    before = lineage(training)
    cases = training.get("cases") or {
        case: {"images": [], "label": "", "part": part}  # of a model of an earlier version
        for part, key in (("val", "val_cases"), ("train", "train_cases"))
        for case in training.get(key, [])
    }
    figure = dice if isinstance(dice, (int, float)) else None
    entry = {"name": name, "when": when, "dice": figure, "classes": list(classes), "cases": cases}
    minutes = [point["minutes"] for point in curves if isinstance(point.get("minutes"), (int, float))]
    return [*before, {**entry, "minutes": minutes[-1]} if minutes else entry]


def earlier_cases(models: Sequence[Mapping[str, Any]]) -> EarlierCases:
    """What became of the cases of the models of a lineage, the first one first."""
    by_name: dict[str, str] = {}
    by_content: dict[str, str] = {}
    for name, case in _cases_of(models):
        if case["part"] not in PARTS:
            continue
        for known, key in ((by_name, name), *((by_content, content) for content in case["images"])):
            if known.get(key) != "train":
                known[key] = case["part"]
    return EarlierCases(by_name=by_name, by_content=by_content)


def lineage(training: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lineage that a model tells, [] of one that began as none; raises ModelError where it, or its cases, are
    damaged."""
    told, cases = training.get("lineage", []), training.get("cases", {})
    lists = [training.get(key, []) for key in ("train_cases", "val_cases")]
    entries = [*told, {"name": "", "when": "", "classes": [], "cases": cases}] if isinstance(told, list) else [{}]
    if len(entries) > MOST_MODELS + 1 or not all(map(_is_entry, entries)) or not fits(lists, list[list[str]]):
        raise ModelError("What the model tells of the cases that trained it is damaged. Copy the model again.")
    return list(told)


def lineage_lines(training: Mapping[str, Any]) -> list[str]:
    """The models before, the last one first, for the card of a model and the report."""
    lines = []
    for entry in reversed(lineage(training)):
        trained = sorted(name for name, case in entry["cases"].items() if case["part"] == "train")
        dice = entry.get("dice")
        figure = f", Dice {dice:.3f}" if isinstance(dice, (int, float)) else ""
        minutes = entry.get("minutes")
        figure += f", {minutes:.1f} min" if isinstance(minutes, (int, float)) else ""
        lines.append(f"{entry['name']}, of {entry['when']}: {', '.join(entry['classes'])}{figure}")
        listed = f"{len(trained)} cases{': ' if trained else ''}{_listed(trained)}"
        lines.append(f"trained on {listed if entry['cases'] else 'cases that it does not name'}")
    return lines


def is_unchanged(training: Mapping[str, Any]) -> bool:
    """Whether a model is the one that its training began as, since no epoch of it was better."""
    return training.get("epoch") == 0 and bool(training.get("lineage"))


def best_epoch_text(training: Mapping[str, Any]) -> str:
    return f"0: {UNCHANGED[0].lower()}{UNCHANGED[1:]}" if is_unchanged(training) else str(training.get("epoch"))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_LISTED} more" if len(names) > NAMES_LISTED else ""
    return ", ".join(names[:NAMES_LISTED]) + more


def _cases_of(models: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for entry in models:
        yield from entry["cases"].items()


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not fits(entry.get("cases"), dict[str, dict[str, Any]]):
        return False
    texts = fits([entry.get("name"), entry.get("when")], list[str]) and fits(entry.get("classes"), list[str])
    return texts and all(
        fits(case.get("images"), list[str]) and isinstance(case.get("label"), str) and isinstance(case.get("part"), str)
        for case in entry["cases"].values()
    )
