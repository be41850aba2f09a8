"""A model as a MONAI bundle, a folder that runs with MONAI alone, without this library.

    python -m monai.bundle run --config_file BUNDLE/configs/inference.json --bundle_root BUNDLE --dataset_dir IMAGES

    configs/metadata.json     what the model is, in MONAI's terms
    configs/inference.json    preparing, sliding window and writing as MONAI's transforms
    models/model.ts           the network as TorchScript, which inference.json runs
    models/model.pt           its weights alone, by their names in model.ts; MONAI asks every bundle for them
    docs/README.md

The network sees arrays (channels, z, y, x) whose axes grow to the patient's Superior, Posterior and Left: MONAI's
axis codes SPL, with another one first where slices lie along it. Volumes that fit into one window come out as in this
program; larger ones are cut at other places by MONAI, which also fades windows out less far, and resampled ones are
sampled at places that differ by a part of a voxel.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

import torch

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.config.plan import Normalization, Plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.export.tracing import Exported, check, is_dynamic, quiet, traced
from MedSegTrainerLib.model.card import card_text
from MedSegTrainerLib.model.package import ModelPackage, describe_package

CODES = {"z": "S", "y": "P", "x": "L"}  # towards which side of the patient an axis grows
OVERLAP = 0.5
DATA_OF_MONAI = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download"
FULL_WIDTH = str.maketrans("$@%", "＄＠％")  # noqa: RUF001
SCHEMA = f"{DATA_OF_MONAI}/0.8.1/meta_schema_20220324.json"  # what MONAI's verify_metadata looks up


def write_bundle(members: Sequence[ModelPackage], output: Path) -> Exported:
    """Writes the bundle of a model, or of an ensemble whose members see the same images, into a new folder, whole or
    not at all.

    Raises ModelError for networks on neighbouring slices, on 2D images that are resized or on what nnU-Net's splines
    make of images, for which MONAI has no transforms, and where the exported network does not agree with the original.
    """
    plan = members[0].plan
    if plan.preparation is not None:
        instead = "--format onnx or torchscript, or of a model with nnU-Net's network: --format nnunet"
        raise ModelError(f"MONAI bundles cannot prepare images as nnU-Net does. Export the network alone: {instead}.")
    if plan.neighbour_slices or plan.image_size is not None:
        what = "neighbouring slices as channels" if plan.neighbour_slices else "2D images that are resized to be seen"
        raise ModelError(f"MONAI bundles know no {what}. Export the network alone: --format onnx or torchscript.")
    metadata, inference = _unevaluated(_metadata(members)), _inference(plan)
    with (
        tempfile.TemporaryDirectory(prefix=".tmp-", dir=output.parent) as scratch,
        quiet(),
        atomic.storage_errors(output),
    ):
        folder = Path(scratch) / output.name
        for name in ("configs", "models", "docs"):
            (folder / name).mkdir(parents=True)
        for name, document in (("metadata", metadata), ("inference", inference)):
            atomic.write_json(folder / "configs" / f"{name}.json", document)
        atomic.write_bytes(folder / "docs" / "README.md", _readme(members, output.name).encode())
        inside = {"metadata.json": json.dumps(metadata), "inference.json": json.dumps(inference)}
        script = traced(members)
        torch.jit.save(script, str(folder / "models" / "model.ts"), _extra_files=inside)
        torch.save(script.state_dict(), folder / "models" / "model.pt")
        difference = check(members, torch.jit.load(str(folder / "models" / "model.ts")), "The network of the bundle")
        shutil.move(str(folder), output)
    return Exported(path=output, difference=difference, is_dynamic=is_dynamic(members[0]))


def _inference(plan: Plan) -> dict[str, Any]:
    return {
        "imports": ["$import glob", "$import os", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": _datalist(len(plan.normalization)),
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "torch.jit.load", "f": "$@bundle_root + '/models/model.ts'", "map_location": "@device"
        },
        "network": "$@network_def.to(@device).eval()",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(plan)},
        "dataset": {
            "_target_": "Dataset", "data": "$[{'image': files} for files in @datalist]", "transform": "@preprocessing"
        },
        "dataloader": {
            "_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "shuffle": False, "num_workers": 0
        },
        "inferer": _inferer(plan),
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(plan)},
        "evaluator": {
            "_target_": "SupervisedEvaluator", "device": "@device", "val_data_loader": "@dataloader",
            "network": "@network", "inferer": "@inferer", "postprocessing": "@postprocessing", "amp": False,
        },
        "run": ["$@evaluator.run()"],
    }  # fmt: skip


def _datalist(channels: int) -> str:
    """Every NIfTI file; with several channels those named CASE_0000, CASE_0001, ... together."""
    if channels == 1:
        return "$sorted(glob.glob(os.path.join(@dataset_dir, '*.nii*')))"
    first = "sorted(glob.glob(os.path.join(@dataset_dir, '*_0000.nii*')))"
    return f"$[[f.replace('_0000.nii', '_%04d.nii' % c) for c in range({channels})] for f in {first}]"


def _preprocessing(plan: Plan) -> list[dict[str, Any]]:
    z, y, x = plan.spacing
    spacing = [-1.0, y, x] if plan.dims == 2 else [z, y, x]  # in 2D the slices stay where they are
    return [
        {"_target_": "LoadImaged", "keys": "image", "image_only": True, "ensure_channel_first": True},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "".join(CODES[axis] for axis in plan.axes)},
        {
            "_target_": "Spacingd",
            "keys": "image",
            "pixdim": spacing,
            "mode": "bilinear",
            "padding_mode": "border",
            "scale_extent": True,
            "align_corners": True,
        },
        *_normalisation(plan),
        *_padding(plan),
        {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
    ]


def _normalisation(plan: Plan) -> list[dict[str, Any]]:
    """Of all channels at once where they are alike, else of each by itself."""
    if len(set(plan.normalization)) == 1:
        return _normalised("image", plan.normalization[0])
    names = [f"_{index}" for index in range(len(plan.normalization))]
    keys = [f"image{name}" for name in names]
    each = [
        step
        for key, normalization in zip(keys, plan.normalization, strict=True)
        for step in _normalised(key, normalization)
    ]
    return [
        {"_target_": "SplitDimd", "keys": "image", "output_postfixes": [name[1:] for name in names]},
        *each,
        {"_target_": "ConcatItemsd", "keys": keys, "name": "image"},
        {"_target_": "DeleteItemsd", "keys": keys},
    ]


def _normalised(key: str, normalization: Normalization) -> list[dict[str, Any]]:
    if normalization.method == "zscore":
        return [{"_target_": "NormalizeIntensityd", "keys": key, "channel_wise": True}]
    if normalization.method == "minmax":
        return [{"_target_": "ScaleIntensityd", "keys": key, "minv": 0.0, "maxv": 1.0, "channel_wise": True}]
    if normalization.method == "percentile":
        return [
            {
                "_target_": "ScaleIntensityRangePercentilesd",
                "keys": key,
                "lower": 0.5,
                "upper": 99.5,
                "b_min": 0.0,
                "b_max": 1.0,
                "clip": True,
                "channel_wise": True,
            }
        ]
    if normalization.method == "ct":
        deviation = max(normalization.std, 1e-6)
        return [
            {
                "_target_": "ScaleIntensityRanged",
                "keys": key,
                "a_min": normalization.low,
                "a_max": normalization.high,
                "b_min": (normalization.low - normalization.mean) / deviation,
                "b_max": (normalization.high - normalization.mean) / deviation,
                "clip": True,
            }
        ]
    return []


def _padding(plan: Plan) -> list[dict[str, Any]]:
    """Up to a window, the border repeated, so that the voxels n // 2 of volume and window coincide.

    MONAI puts the odd voxel behind the volume, and along an even axis of the window it belongs in front: there the
    volume is turned round for the while.
    """
    turned = [axis for axis, length in enumerate(plan.patch_size) if length % 2 == 0]
    flip = [{"_target_": "Flipd", "keys": "image", "spatial_axis": turned}] if turned else []
    pad = {"_target_": "SpatialPadd", "keys": "image", "spatial_size": list(plan.patch_size), "mode": "edge"}
    return [*flip, pad, *flip]


def _inferer(plan: Plan) -> dict[str, Any]:
    window = {
        "sw_batch_size": plan.batch_size,
        "overlap": OVERLAP,
        "mode": "gaussian",
        "sigma_scale": 0.125,
        "padding_mode": "replicate",
    }
    if plan.dims == 2:
        return {"_target_": "SliceInferer", "roi_size": list(plan.patch_size[1:]), "spatial_dim": 0, **window}
    return {"_target_": "SlidingWindowInferer", "roi_size": list(plan.patch_size), **window}


def _postprocessing(plan: Plan) -> list[dict[str, Any]]:
    """Classes that overlap become channels of 0 and 1, the fourth axis of the file."""
    values = [0, *(item.value for item in plan.classes)]
    labels = [
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {
            "_target_": "MapLabelValued", "keys": "pred", "orig_labels": list(range(len(values))),
            "target_labels": values, "dtype": "$torch.int32",
        },
    ]  # fmt: skip
    masks = [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
    ]
    return [
        {
            "_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
            "nearest_interp": False, "to_tensor": True,
        },
        *(masks if plan.overlapping else labels),
        {
            "_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "seg",
            "output_dtype": "int32", "resample": False, "separate_folder": False,
        },
    ]  # fmt: skip


def _metadata(members: Sequence[ModelPackage]) -> dict[str, Any]:
    package = members[0]
    plan = package.plan
    network = plan.architecture if len(members) == 1 else f"{len(members)} times {plan.architecture}, averaged,"
    names, dice = [*_background(plan), *plan.class_names], package.metrics.get("val_dice")
    size = [
        f"{divisor}*n" if is_dynamic(package) else length
        for divisor, length in zip(plan.divisor, plan.patch_size, strict=True)
    ][3 - plan.dims :]
    common = {"type": "image", "modality": ", ".join(plan.channel_names), "dtype": "float32", "is_patch_data": True}
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by MedSegTrainer {__version__}"},
        "monai_version": "1.6.1",
        "pytorch_version": str(torch.__version__).split("+")[0],
        "numpy_version": "2.2.6",
        "required_packages_version": {"nibabel": "5.3.0", "pytorch-ignite": "0.5.0"},
        "optional_packages_version": {"nibabel": "5.3.0", "pytorch-ignite": "0.5.0"},
        "name": f"Segmentation of {', '.join(plan.class_names)}"[:120],
        "task": "Segmentation of medical volumes",
        "description": f"{network} for {', '.join(plan.class_names)}.",
        "authors": "made with MedSegTrainer",
        "authorship": "made with MedSegTrainer",
        "dataset_dir": "images",
        "pred_classes": _values(plan),
        "copyright": "that of whoever trained it",
        "data_type": "nifti",
        "image_classes": ", ".join(plan.channel_names),
        "label_classes": _values(plan),
        "eval_metrics": {"mean_dice": dice if isinstance(dice, (int, float)) else None},
        "intended_use": "Research. Not for diagnosis.",
        "network_data_format": {
            "inputs": {
                "image": {
                    **common,
                    "format": "magnitude",
                    "num_channels": len(plan.normalization),
                    "spatial_shape": size,
                    "value_range": [],
                    "channel_def": dict(_numbered(plan.channel_names)),
                }
            },
            "outputs": {
                "pred": {
                    **common,
                    "format": "segmentation",
                    "num_channels": len(names),
                    "spatial_shape": size,
                    "value_range": [],
                    "channel_def": dict(_numbered(names)),
                }
            },
        },
    }


def _unevaluated(value: Any) -> Any:
    """The value with full-width forms of the signs by which MONAI knows what to evaluate ($), look up (@) or read from
    another file (%): names of classes and channels are text that anybody may have written."""
    if isinstance(value, dict):
        return {key: _unevaluated(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_unevaluated(part) for part in value]
    return value.translate(FULL_WIDTH) if isinstance(value, str) else value


def _background(plan: Plan) -> list[str]:
    return [] if plan.overlapping else ["background"]


def _values(plan: Plan) -> str:
    """Label values with their names; of classes that overlap the channels, from 0 on."""
    if plan.overlapping:
        return ", ".join(f"channel {number} {name}" for number, name in _numbered(plan.class_names))
    return ", ".join(["0 background", *(f"{item.value} {item.name}" for item in plan.classes)])


def _numbered(names: Any) -> list[tuple[str, str]]:
    return [(str(index), str(name)) for index, name in enumerate(names)]


def _readme(members: Sequence[ModelPackage], name: str) -> str:

    run = (
        f"python -m monai.bundle run --config_file {name}/configs/inference.json --bundle_root {name} "
        "--dataset_dir IMAGES"
    )
    return f"# {name}\n\nApply it to the NIfTI files of a folder; label maps go to {name}/eval:\n\n    {run}\n\n" + (
        "It needs monai, pytorch-ignite and nibabel.\n\n"
        + indent(card_text([member.plan for member in members], describe_package(members[0])), "    ")
        + "\n"
    )
