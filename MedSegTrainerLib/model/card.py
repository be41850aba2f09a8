"""The card of a model: what it finds, in which images, how good it is and how it was made, in plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import Any

from MedSegTrainerLib.config.network_settings import network_settings
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.model.lineage import UNCHANGED, is_unchanged, lineage_lines

MEASURED_ON = {
    "test": "test cases, which had no part in its training",
    "validation": "validation cases, which chose the best epoch",
    "cross-validation": "cases, each held out once",
}
CARD_METRICS = {"dice": "Dice", "iou": "IoU", "hd95_mm": "HD95 mm"}
CURVE_LINES = 8


def card_text(plans: Sequence[Plan], document: Mapping[str, Any]) -> str:
    """plans: of the members of an ensemble, or of one model. document: what its ``model.json`` holds."""
    training, metrics, data = (document.get(key, {}) for key in ("training", "metrics", "data"))
    first = document["members"][0] if document.get("members") else document
    blocks = [
        ("Finds", _finds(plans[0])),
        ("Needs", _needs(plans[0], data)),
        ("Trained on", _data(plans[0], training, data)),
        ("Began as", lineage_lines(training)),
        ("How good", _quality(plans[0], training, metrics)),
        ("Curve", _curve(first.get("curves", []))),
        ("Made", _provenance(plans[0], training, len(plans), str(document.get("made_by", "")))),
    ]
    lines = [line for title, lines in blocks if lines for line in _block(title, lines)]
    return "\n".join("".join(c if c.isprintable() else "\ufffd" for c in line) for line in lines)


def card_page(plans: Sequence[Plan], document: Mapping[str, Any]) -> str:
    """The same as Markdown, to lie beside the model for whoever finds it without this program."""
    return (
        f"# A segmentation model\n\n{indent(card_text(plans, document), '    ')}\n\n"
        "It is applied with MedSegTrainer, which rebuilds it from model.json and the weights beside this page:\n\n"
        "    medsegtrainer apply THIS_FOLDER IMAGES -o OUT\n"
    )


def _block(title: str, lines: Sequence[str]) -> list[str]:
    return [f"{title if index == 0 else '':<12}{line}" for index, line in enumerate(lines)]


def _finds(plan: Plan) -> list[str]:
    lines = [f"{item.name} (label {item.value})" for item in plan.classes]
    return [*lines, "a voxel may have several of these: they overlap"] if plan.overlapping else lines


def _needs(plan: Plan, data: Mapping[str, Any]) -> list[str]:
    count, names = len(plan.channel_names), ", ".join(plan.channel_names)
    what = "2D images" if plan.image_size else "volumes"
    lines = [f"{what} with {count} channel{'s' if count > 1 else ''}: {names}"]
    if plan.image_size:
        return [*lines, f"seen at {' x '.join(map(str, plan.image_size))} pixels (y, x)"]
    lines.append(f"seen with voxels of {' x '.join(f'{mm:.3g}' for mm in plan.spacing)} mm ({', '.join(plan.axes)})")
    if data:
        lines.append(f"such as those it was trained on: {', '.join(data['planes'])} slices")
    return lines


def _data(plan: Plan, training: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    imported = training.get("imported", {})
    count = imported.get("cases", "an unknown number of") if imported else len(training.get("train_cases", []))
    of_data = f" of {imported['dataset']}" if imported.get("dataset") else ""
    lines = [f"{count} cases{of_data}"]
    if plan.partly_drawn:
        lines.append(f"not drawn in all of them: {', '.join(plan.partly_drawn)}")
    for key, what, unit in (("spacing_mm", "voxels", "mm"), ("size_voxels", "sizes", "voxels")):
        if key in data:
            low, _, high = data[key]
            axes = [f"{a:.3g}" if a == b else f"{a:.3g}-{b:.3g}" for a, b in zip(low, high, strict=True)]
            lines.append(f"{what} of {' x '.join(axes)} {unit} (z, y, x)")
    for channel in data.get("channels", []):
        lines.append(f"intensities of {channel['name']}: {channel['lowest']:.4g} to {channel['highest']:.4g}")
    return lines


def _quality(plan: Plan, training: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    summary = metrics.get("summary")
    if not summary:
        dice = metrics.get("val_dice_per_class") or {}
        lines = [f"{name}: Dice {value:.3f}" for name, value in dice.items() if value is not None]
        unknown = "nobody measured it: all cases were trained on"
        return lines or ["whoever made it does not say" if "imported" in training else unknown]
    where = str(metrics.get("measured_on", "test"))
    cases = metrics.get("test_cases" if where == "test" else "validation_cases", training.get("val_cases", []))
    population = MEASURED_ON.get(where, where)
    lines = [f"on {len(cases)} {population if len(cases) != 1 else population.replace('cases', 'case', 1)}"]
    for item in plan.classes:
        means = {key: summary.get(item.name, {}).get(key, {}).get("mean") for key in CARD_METRICS}
        figures = [f"{title} {means[key]:.3f}" for key, title in CARD_METRICS.items() if means[key] is not None]
        counted = summary.get(item.name, {}).get("dice", {}).get("count")
        some = f", in {counted} of them" if figures and item.name in plan.partly_drawn and counted else ""
        lines.append(f"{item.name}: {', '.join(figures) or 'in none of them'}{some}")
    return [*lines, *([str(metrics["words"])] if "words" in metrics else [])]


def _curve(curves: Sequence[Mapping[str, Any]]) -> list[str]:
    points = [point for point in curves if point.get("mean_dice") is not None]
    step = max(1, -(-len(points) // CURVE_LINES))
    chosen = points[::-step][::-1]
    return [f"{point['minutes']:6.1f} min  Dice {point['mean_dice']:.3f}" for point in chosen]


def _provenance(plan: Plan, training: Mapping[str, Any], members: int, made_by: str) -> list[str]:
    settings = network_settings(plan.architecture, plan.network)
    options = [name if value is True else f"{name} {value}" for name, value in settings.items() if value]
    lines = [f"{plan.architecture}, {plan.dims}D, {', '.join(options).replace('_', ' ')}"]
    if members > 1:
        lines[0] = f"an ensemble of {members} models: {lines[0]}"
    patches = f"patches of {' x '.join(map(str, plan.patch_size))} voxels"
    if "imported" in training:
        about = training["imported"]
        told = [_imported(about), *([str(about["differences"])] if "differences" in about else [])]
        return [*lines, patches, *told, *([f"read by {made_by}"] if made_by else [])]
    lines.append(f"{patches}, {plan.loss.loss_type} loss")
    lines.append(f"{plan.optimizer_type}, learning rate {plan.learning_rate:g}, {plan.lr_schedule}")
    if is_unchanged(training):
        lines.append(f"{UNCHANGED[0].lower()}{UNCHANGED[1:]}")
    elif "epoch" in training:
        lines.append(f"best after {training['epoch']} epochs, {training.get('steps')} steps")
    return [*lines, *([f"with {made_by}"] if made_by else [])]


def _imported(about: Mapping[str, Any]) -> str:
    """The program that trained a model, and in its words how."""
    named = [
        str(about[key]).replace("fold_", "fold ")
        for key in ("trainer", "plans", "configuration", "fold")
        if key in about
    ]
    count = about.get("epochs")
    epochs = [] if count is None else ["1 epoch" if count == 1 else f"{count} epochs"]
    return ", ".join([f"by {about['from']}", *named, *epochs])
