"""What a plan must be, whoever wrote it: types as they are declared, values within limits, and parts that fit together.

A plan in a model may come from anywhere, and whatever it says is done to images without another look.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from MedSegTrainerLib.config.architectures import ARCHITECTURES, NNUNET, is_planned
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.errors import ConfigError, JobError, ModelError, did_you_mean
from MedSegTrainerLib.files.json_input import read_json_file

SPACING = 1e-3, 1e3  # mm
LABEL_VALUES = -(2**31), 2**31 - 1
LARGEST_NUMBER = 1e12
ORDERS = range(6)  # of splines
MOST_EDGE, MOST_VOXELS = 2**15, 2**27  # along an axis of a patch, and in all of it
# what building a network costs beside its weights, which are compared with their file: modules, and tables of places
LARGEST = {
    "blocks": 1000,
    "decoder_blocks": 1000,
    "num_layers": 1000,
    "aspp_rates": 100,
    "window_size": 16,
    "kernels": 31,
    "strides": 64,
    "features": 10**6,
    "img_size": MOST_EDGE,
}
MOST_ENTRIES = 100  # of a list: levels, distances
MOST_CODES = 4096  # of combinations of classes
MOST_OVERLAPPING = 30  # bits of a voxel, one a class


def parse_plan(values: dict[str, Any]) -> Plan:
    """The plan that ``Plan.to_json`` wrote, also by an earlier version; raises ModelError with all problems."""
    values = _upgraded(values)
    names = {item.name for item in fields(Plan)}
    if names != values.keys():
        wrong = sorted(names ^ values.keys())
        raise ModelError(f"The plan does not fit this version: {', '.join(wrong)} missing or unknown.")
    try:
        plan = TypeAdapter(Plan).validate_json(json.dumps(values), strict=True)
    except (ValidationError, ValueError) as error:
        raise _wrong(_type_problems(error)) from None
    refuse_wrong_plan(plan)
    return plan


def refuse_wrong_plan(plan: Plan) -> None:
    """Raises ModelError with everything that is wrong with a plan."""
    checks = (_numbers, _grid, _preparation, _channels, _classes, _label_codes, _network)
    problems = [problem for check in checks for problem in check(plan)]
    if problems:
        raise _wrong(problems)


def _wrong(problems: Sequence[str]) -> ModelError:
    lines = "\n".join(f"  - {problem}" for problem in problems)
    return ModelError(f"The plan is damaged, or does not fit this version:\n{lines}")


def _type_problems(error: ValueError) -> list[str]:
    if not isinstance(error, ValidationError):
        return [str(error)]
    return [
        f"{'.'.join(map(str, problem['loc']))} = {_short(problem['input'])}: {problem['msg']}."
        for problem in error.errors(include_url=False)
    ]


def _numbers(plan: Plan) -> Iterator[str]:
    for name, value in plan.to_json().items():
        for number in _leaves(value):
            if isinstance(number, (int, float)) and not abs(number) <= LARGEST_NUMBER:
                yield f"{name}: {_short(number)} is no number that it can be."
    for name in ("batch_size", "batch_parts", "samples_per_volume", "steps_per_epoch", "epochs", "validation_interval"):
        if getattr(plan, name) < 1:
            yield f"{name} = {getattr(plan, name)}: must be at least 1."
    for name in ("learning_rate", "weight_decay", "warmup_epochs", "gradient_clip", "ema_decay"):
        if (getattr(plan, name) or 0) < 0:
            yield f"{name} = {getattr(plan, name)}: must be at least 0."
    if not 0 <= plan.foreground_oversampling <= 1:
        yield f"foreground_oversampling = {plan.foreground_oversampling}: must be 0 to 1."
    try:
        parse_config(LossConfig, asdict(plan.loss))
    except ConfigError as error:
        yield from (f"loss.{problem}" for problem in error.problems)


def _grid(plan: Plan) -> Iterator[str]:
    if plan.dims not in (2, 3):
        yield f"dims = {plan.dims}: must be 2 or 3."
    if not all(SPACING[0] <= mm <= SPACING[1] for mm in plan.spacing):
        yield f"spacing = {list(plan.spacing)}: must be {SPACING[0]:g} to {SPACING[1]:g} mm."
    for name in ("patch_size", "divisor", "image_size"):
        edges = getattr(plan, name)
        if edges is not None and not all(1 <= edge <= MOST_EDGE for edge in edges):
            yield f"{name} = {list(edges)}: must be 1 to {MOST_EDGE} voxels."
            return
    if math.prod(plan.patch_size) > MOST_VOXELS:
        yield f"patch_size = {list(plan.patch_size)}: must have at most {MOST_VOXELS} voxels."
    if any(edge % step for edge, step in zip(plan.patch_size, plan.divisor, strict=True)):
        yield f"patch_size = {list(plan.patch_size)}: must be multiples of the divisor, {list(plan.divisor)}."
    if plan.dims == 2 and plan.patch_size[0] != 1:
        yield f"patch_size = {list(plan.patch_size)}: the first must be 1 in 2D."
    if not 0 <= plan.neighbour_slices <= (MOST_ENTRIES if plan.dims == 2 else 0):
        yield f"neighbour_slices = {plan.neighbour_slices}: must be 0 to {MOST_ENTRIES}, and 0 in 3D."
    if len(set(plan.flip_axes)) < len(plan.flip_axes) or not set(plan.flip_axes) <= {0, 1, 2}:
        yield f"flip_axes = {list(plan.flip_axes)}: must be of 0, 1 and 2, each once."


def _preparation(plan: Plan) -> Iterator[str]:
    preparation = plan.preparation
    masked = any(channel.masked for channel in plan.normalization)
    if preparation is None:
        if masked:
            yield "normalization: what is masked needs a preparation."
        return
    if sorted(preparation.transpose) != [0, 1, 2]:
        yield f"preparation.transpose = {list(preparation.transpose)}: must be 0, 1 and 2 in some order."
    for name in ("image", "logits"):
        resampling = getattr(preparation, name)
        if not (resampling.order in ORDERS and resampling.order_z in ORDERS):
            yield f"preparation.{name}: orders {resampling.order} and {resampling.order_z} must be 0 to {ORDERS[-1]}."
    if preparation.orientation is not None and not is_orientation(preparation.orientation):
        yield f"preparation.orientation = {_short(preparation.orientation)}: must be three letters such as RAS."
    if plan.slice_axis != "z" or plan.image_size is not None:
        yield "preparation: cannot be together with an image_size or another slice_axis than z."


def is_orientation(code: str) -> bool:
    """Whether each letter names another axis of the patient, such as ``LPS``."""
    return len(code) == 3 and all(len(set(code) & set(axis)) == 1 for axis in ("LR", "PA", "SI"))


def _channels(plan: Plan) -> Iterator[str]:
    if not plan.normalization or len(plan.channel_names) != len(plan.normalization):
        counts = f"{len(plan.normalization)} and {len(plan.channel_names)}"
        yield f"normalization and channel_names: must have one entry a channel, and have {counts}."
    for entry in plan.normalization:
        if entry.masked and entry.method != "zscore":
            yield f"normalization: {entry.method} takes no numbers of a part of the volume, so it cannot be masked."
        if entry.low > entry.high or entry.std < 0:
            yield f"normalization: low {entry.low:g} to high {entry.high:g} with deviation {entry.std:g} is no range."
    yield from (f"channel_names: {name!r} is no name." for name in plan.channel_names if not _is_plain(name))


def _classes(plan: Plan) -> Iterator[str]:
    if not plan.classes:
        yield "classes: there is none."
    for what, entries in (("value", [c.value for c in plan.classes]), ("name", [c.name for c in plan.classes])):
        if len(set(entries)) < len(entries):
            yield f"classes: two have the same {what}."
    for item in plan.classes:
        if item.value == 0 or not LABEL_VALUES[0] <= item.value <= LABEL_VALUES[1]:
            yield f"classes: {_short(item.value)} is no label value; 0 is background, and there are 32 bits."
        if not item.name.strip() or not _is_plain(item.name + item.terminology):
            yield f"classes: {item.name!r} is no name."
        if not all(0 <= part <= 255 for part in item.color):
            yield f"classes: {list(item.color)} is no color of 0 to 255."
    if plan.overlapping and [item.value for item in plan.classes] != list(range(1, len(plan.classes) + 1)):
        yield "classes: those that overlap must have the values 1, 2, 3 and so on."
    if plan.overlapping and len(plan.classes) > MOST_OVERLAPPING:
        yield f"classes: {len(plan.classes)} are too many to overlap; there may be {MOST_OVERLAPPING}."


def _label_codes(plan: Plan) -> Iterator[str]:
    if len(plan.label_codes) > MOST_CODES:
        yield f"label_codes: {len(plan.label_codes)} are too many; there may be {MOST_CODES}."
        return
    for code in plan.label_codes:
        named = [*code.present, *code.unknown]
        if len(set(named)) < len(named) or not all(1 <= index <= len(plan.classes) for index in named):
            yield f"label_codes: {named} must be indices of the {len(plan.classes)} classes, each once."
        elif not code.unknown and (len(code.present) < 2 or not plan.overlapping):
            yield f"label_codes: {list(code.present)} needs no code, or cannot be without overlap."
        elif code.unknown and code.present and not plan.overlapping:
            yield f"label_codes: {list(code.present)} is known, so no other class can be there where none overlap."


def _network(plan: Plan) -> Iterator[str]:
    architecture = ARCHITECTURES.get(plan.architecture)
    if architecture is None:
        near = did_you_mean(plan.architecture, ARCHITECTURES)
        yield f"architecture: '{plan.architecture}' is no known network.{near}"
        return
    if plan.dims not in architecture.dims:
        yield f"dims = {plan.dims}: {plan.architecture} has {' or '.join(map(str, architecture.dims))}."
    wrong = [*_parameters(plan.network)]
    yield from wrong
    if wrong:
        return
    in_channels = len(plan.normalization) * (1 + 2 * plan.neighbour_slices)
    expected: dict[str, Any] = {"dims": plan.dims, "in_channels": in_channels, "out_channels": plan.out_channels}
    expected["img_size"] = list(plan.patch_size[3 - plan.dims :])
    for name, value in expected.items():
        if plan.network.get(name, value) != value:
            yield f"network.{name} = {plan.network[name]}: the rest of the plan says {value}."
    if is_planned(plan.architecture):
        wrong = [*_levels(plan)]
        yield from wrong
        if plan.architecture in NNUNET and not wrong:
            yield from _nnunet_levels(plan.network)


def _parameters(network: Mapping[str, Any]) -> Iterator[str]:
    """Parameters that no network can have, or that would take all memory and time before weights are looked at."""
    for name, value in network.items():
        leaves = list(_leaves(value))
        limit = LARGEST.get(name, LARGEST_NUMBER)
        if (isinstance(value, list) and len(value) > MOST_ENTRIES) or len(leaves) > 3 * MOST_ENTRIES:
            yield f"network.{name}: {len(leaves)} entries are too many."
        elif not all(isinstance(leaf, (int, float, str)) for leaf in leaves):
            yield f"network.{name} = {_short(value)}: must be numbers or words."
        elif name in ("deep_supervision", "conv_bias") and not isinstance(value, bool):
            yield f"network.{name} = {_short(value)}: must be true or false."
        elif any(not isinstance(leaf, str) and not 0 <= leaf <= limit for leaf in leaves):
            yield f"network.{name} = {_short(value)}: must be 0 to {limit:g}."


def _levels(plan: Plan) -> Iterator[str]:
    """What the parameters of a U-Net that is planned around its patch must be to one another."""
    parts = {name: plan.network.get(name) for name in ("features", "strides", "kernels", "blocks")}
    lengths = {len(part) if isinstance(part, list) else 0 for part in parts.values()}
    if len(lengths) > 1 or 0 in lengths:
        yield f"network: {plan.architecture} needs features, strides, kernels and blocks, with one entry a level each."
        return
    for name in ("strides", "kernels"):
        if not all(_is_axes(entry, plan.dims) for entry in parts[name] or ()):
            yield f"network.{name}: must have {plan.dims} whole numbers a level."
            return
    if any(edge % 2 == 0 for kernel in parts["kernels"] or () for edge in kernel):
        yield f"network.kernels = {parts['kernels']}: must be odd."
    steps = [math.prod(axis) for axis in zip(*(parts["strides"] or ()), strict=True)]
    if any(edge % step for edge, step in zip(plan.patch_size[3 - plan.dims :], steps, strict=True)):
        yield f"network.strides = {parts['strides']}: the patch, {list(plan.patch_size)}, is no multiple of them."


def _nnunet_levels(network: Mapping[str, Any]) -> Iterator[str]:
    """The same for what nnU-Net's networks have beside."""
    levels, decoder = len(network["features"]), network.get("decoder_blocks")
    if levels < 2 or not isinstance(decoder, list) or len(decoder) != levels - 1:
        yield f"network.decoder_blocks = {_short(decoder)}: must be one a level but the last, of {levels} (2 at least)."
        return
    for name in ("features", "blocks", "decoder_blocks"):
        if not all(type(count) is int and count >= 1 for count in network[name]):
            yield f"network.{name} = {_short(network[name])}: must be whole numbers from 1 on."
    if max(network["strides"][0]) > 1:
        yield f"network.strides = {network['strides']}: the first level must keep the resolution."


def _is_axes(entry: Any, dims: int) -> bool:
    return isinstance(entry, list) and len(entry) == dims and all(type(step) is int and step >= 1 for step in entry)


def _is_plain(text: str) -> bool:
    return text.isprintable()


def _leaves(value: Any) -> Iterator[Any]:
    """Everything that is no list and no object in a value of JSON."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        yield value
        return
    for part in value:
        yield from _leaves(part)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_plan(path: Path) -> Plan:
    """The plan of a job; raises JobError where the file is damaged, or of another version."""
    try:
        return parse_plan(read_json_file(path, ModelError))
    except ModelError as error:
        raise JobError(
            f"{path} is damaged, or of another version: {error}\nWithout its plan nothing goes on: begin anew in "
            "another folder."
        ) from None


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """A plan of an earlier version: its only network was the planned one, and its strides said the divisor."""
    if not isinstance(values, dict):
        raise ModelError(f"The plan must be an object, not {type(values).__name__}.")
    added: dict[str, Any] = {
        "ignore_label": None,
        "neighbour_slices": 0,
        "batch_parts": 1,
        "compiled": False,
        "sides": {},
    }
    added |= {"slice_axis": "z", "overlapping": False, "label_codes": [], "foreground_oversampling": 0.33}
    values = {**added, "preparation": None, **values}
    network = values.get("network")
    if "divisor" in values or not isinstance(network, dict) or "strides" not in network:
        return values
    try:
        strides = [[1] * (3 - len(stride)) + list(stride) for stride in network["strides"]]
        divisor = [math.prod(axis) for axis in zip(*strides, strict=True)]
    except (TypeError, ValueError):
        return values  # without a divisor, which is reported
    return {**values, "image_size": None, "divisor": divisor}
