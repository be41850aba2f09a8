"""A ``model.pt`` of MONAI's Auto3DSeg (its SegResNet algorithm): its ``config`` as a plan, and its weights.

After ``scripts/segmenter.py`` of the algorithm template: arrays x, y, z, cut to the foreground, linear resampling,
intensities scaled through a sigmoid (CT) or by the deviation of what is not 0 (MR). Values that refer to others
('@input_channels') are followed; expressions ('$...') are never computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import torch

from MedSegTrainerLib.classes import default_color
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerLib.model.given_tensors import fitted
from MedSegTrainerLib.model.nnunet_checkpoint import loaded
from MedSegTrainerLib.model.nnunet_plans import LEARNING
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.state_shapes import state_shapes

NETWORK = "SegResNetDS"
NORMS = {"INSTANCE": "instance", "INSTANCE_NVFUSER": "instance", "BATCH": "batch"}
KNOWN = {
    "_target_", "init_filters", "blocks_down", "norm", "in_channels", "out_channels", "dsdepth", "act", "spatial_dims",
    "resolution",
}  # fmt: skip
CT_MODES, MR_MODES = ("range", "ct"), ("meanstd", "mri")
WRAPPERS = ("module.", "_orig_mod.")
PREFIX = "body."  # of our network's names
XYZ = [2, 1, 0]  # of an array z, y, x
OPTIMIZER = {"optimizer_type": "AdamW", "learning_rate": 2e-4, "weight_decay": 1e-5, "lr_schedule": "cosine"}
DIFFERENCES = (
    "not as there: every image is resampled, also where its voxels are within a quarter of those of the training, and "
    "is cut to what is not 0 without a margin"
)
Problems = list[str]


def load_auto3dseg(stream: IO[bytes], size: int) -> tuple[Plan, dict[str, torch.Tensor], dict[str, Any]]:
    """Plan, weights and ``training`` of a checkpoint of ``size`` bytes; raises ModelError with everything that is no
    such model."""
    with loaded(stream, size) as content:
        config, weights = content.get("config"), content.get("state_dict")
        if not fits(config, dict[str, Any]) or not isinstance(config, dict) or not isinstance(weights, dict):
            raise ModelError("it has no config and state_dict, as a model.pt of MONAI's Auto3DSeg")
        problems: Problems = []
        entries = plan_entries(_Config(config), problems)
        if problems:
            raise ModelError("; ".join(problem.rstrip(".") for problem in problems))
        plan = parse_plan(_with_divisor(entries))
        given = {_unwrapped(str(name)): value for name, value in weights.items()}
        found = fitted(given, state_shapes(plan.architecture, plan.network))
        epoch = content.get("epoch")
        about = {
            "from": "MONAI Auto3DSeg",
            "configuration": NETWORK,
            "fold": f"fold {config.get('fold')}",
            "differences": DIFFERENCES,
            **({"epochs": epoch} if type(epoch) is int else {}),
        }
        return plan, {name: value.clone() for name, value in found.items()}, {"imported": about}


class _Config:
    """Values by name, where one that is '@name' is that of the name."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def get(self, name: str, default: Any = None) -> Any:
        return self.followed(self._values.get(name, default))

    def followed(self, value: Any) -> Any:
        seen: set[str] = set()
        while isinstance(value, str) and value.startswith("@") and value not in seen:
            seen.add(value)
            value = self._values.get(value[1:])
        return value


def plan_entries(config: _Config, problems: Problems) -> dict[str, Any]:
    """The values of a plan, as ``Plan.to_json`` has them; adds to ``problems`` what is wrong."""
    outputs, channels = config.get("output_classes"), config.get("input_channels")
    roi, spacing = config.get("roi_size"), config.get("resample_resolution", [1.0, 1.0, 1.0])
    if not fits([outputs, channels], list[int]) or not 1 <= outputs <= 1000 or not 1 <= channels <= 100:
        problems.append(
            f"input_channels = {channels!r:.40} and output_classes = {outputs!r:.40} are no numbers of them."
        )
        return {}
    if not fits(roi, list[int]) or len(roi) != 3 or not fits(spacing, list[float]) or len(spacing) != 3:
        problems.append(f"roi_size = {roi!r:.60} and resample_resolution = {spacing!r:.60} must have 3 numbers.")
        return {}
    if config.get("custom_data_transforms"):
        problems.append("custom_data_transforms: somebody's own code would prepare its images.")
    overlapping = config.get("sigmoid", False) is True
    names, normalization = _channels(config, channels, problems)
    return {
        "dims": 3,
        "image_size": None,
        "spacing": spacing,
        "patch_size": roi,
        "batch_size": 1,
        "normalization": normalization,
        "channel_names": names,
        "classes": _classes(config, outputs - (not overlapping), problems),
        "overlapping": overlapping,
        "ignore_label": None,
        "flip_axes": [0, 1, 2],
        **_network(config, channels, outputs, spacing, problems),
        **LEARNING,
        **OPTIMIZER,
        "preparation": {
            "orientation": "RAS" if config.get("orientation_ras") is True else None,
            "transpose": XYZ,
            "crop_to_nonzero": config.get("crop_foreground", True) is True,
            "image": {"order": 1, "order_z": 1, "separate_z": "never"},
            "logits": {"order": 1, "order_z": 1, "separate_z": "never"},
        },
        "reasons": dict.fromkeys(("network", "spacing", "patch_size", "normalization"), "as Auto3DSeg's config says"),
    }


def _network(config: _Config, channels: int, outputs: int, spacing: list[float], problems: Problems) -> dict[str, Any]:
    given = config.get("network")
    values = {key: config.followed(value) for key, value in given.items()} if isinstance(given, dict) else {}
    target = str(values.get("_target_", "not named"))
    if target.rpartition(".")[2] != NETWORK or target.rpartition(".")[0] not in ("", "monai.networks.nets"):
        problems.append(f"its network is {target:.100}, and {NETWORK} alone is known of Auto3DSeg's.")
        return {}
    blocks: Any = values.get("blocks_down")
    filters, judged = values.get("init_filters", 32), values.get("dsdepth", 1)
    norm, act = _name(values.get("norm", "BATCH")), _name(values.get("act", "RELU"))
    unknown = [f"{key} = {values[key]!r:.40}" for key in sorted(values.keys() - KNOWN) if values[key] is not None]
    if not fits([filters, judged], list[int]) or not fits(blocks, list[int]) or not 2 <= len(blocks) <= 10:
        problems.append("its network needs init_filters, dsdepth, and blocks_down for each of 2 to 10 levels.")
    elif norm not in NORMS or act != "RELU" or values.get("spatial_dims", 3) != 3 or unknown:
        problems.append(f"its network has norm {norm:.40}, act {act:.40}{''.join(f', {one}' for one in unknown)}.")
    elif [values.get("in_channels"), values.get("out_channels")] != [channels, outputs]:
        problems.append("its network has other channels or classes than input_channels and output_classes say.")
    else:
        resolution = values.get("resolution") or (spacing if config.get("anisotropic_scales") is True else None)
        network = {"in_channels": channels, "out_channels": outputs, "init_filters": filters, "norm": NORMS[norm]}
        network |= {"blocks": blocks, "levels_judged": max(1, judged), "deep_supervision": judged > 1}
        return {"architecture": NETWORK, "network": {**network, **({"resolution": resolution} if resolution else {})}}
    return {}


def _channels(config: _Config, count: int, problems: Problems) -> tuple[list[str], list[dict[str, Any]]]:
    """Names and normalisations: of the image, then of the extra modalities, which share its bounds."""
    extra = config.get("extra_modalities") or {}
    modality = str(config.get("modality", "mri")).upper()
    usual = "range" if modality == "CT" else "meanstd"
    modes = {modality: config.get("normalize_mode", usual), **(extra if isinstance(extra, dict) else {})}
    if len(modes) == 1:  # one file with all its channels
        modes = {modality if count == 1 else f"{modality} {place}": modes[modality] for place in range(1, count + 1)}
    if len(modes) != count:
        problems.append(f"input_channels = {count}, and extra_modalities make {len(modes)} of them.")
    bounds = config.get("intensity_bounds") or [-250, 250]
    found = []
    for name, mode in modes.items():
        if mode in CT_MODES and fits(bounds, list[float]) and len(bounds) == 2:
            found.append({"method": "sigmoid", "low": float(bounds[0]), "high": float(bounds[1])})
        elif mode in MR_MODES:
            found.append({"method": "zscore", "masked": True})
        elif mode == "none":
            found.append({"method": "none"})
        else:
            problems.append(f"normalize_mode {mode!r:.40} of {name} with intensity_bounds {bounds!r:.60} is not known.")
    return [str(name) for name in modes], found


def _classes(config: _Config, count: int, problems: Problems) -> list[dict[str, Any]]:
    names = config.get("class_names") or [f"class {place}" for place in range(1, count + 1)]
    if not fits(names, list[str]) or len(names) != count:
        problems.append(f"class_names = {names!r:.100}, and there are {count} classes.")
        return []
    return [
        {"value": place + 1, "name": name, "color": list(default_color(place)), "terminology": ""}
        for place, name in enumerate(names)
    ]


def _with_divisor(entries: dict[str, Any]) -> dict[str, Any]:
    """With what the axes of a patch must be multiples of, and a patch of such."""
    divisor = [2 ** (len(entries["network"]["blocks"]) - 1)] * 3
    if "resolution" in entries["network"]:
        body: Any = build_network(NETWORK, {**entries["network"], "init_filters": 8}).get_submodule("body")
        divisor = [int(step) for step in body.shape_factor()]
    patch = [-(-edge // step) * step for edge, step in zip(entries["patch_size"], divisor, strict=True)]
    return {**entries, "divisor": divisor, "patch_size": patch}


def _name(value: Any) -> str:
    """Of a norm or activation, which may have arguments behind it."""
    return str(value[0] if isinstance(value, (list, tuple)) and value else value).upper()


def _unwrapped(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    return PREFIX + name
