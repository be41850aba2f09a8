"""A model as a folder that nnU-Net runs by itself, a fold for each member.

    nnUNetv2_predict_from_modelfolder -i IMAGES -o OUT -m FOLDER -f 0

    plans.json                      network, grid, normalisation and resampling
    dataset.json                    channels, and the classes as 1, 2, 3, ...
    fold_0/checkpoint_final.pth     weights under nnU-Net's names

Forms as nnU-Net 2.8.1 reads them. What nnU-Net cannot do is refused; clean-up after the prediction is not part of it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.config.architectures import NNUNET
from MedSegTrainerLib.config.plan import Normalization, Plan, Preparation, Resampling
from MedSegTrainerLib.errors import ModelError, UsageError
from MedSegTrainerLib.export.tracing import Exported, Logits, check, quiet
from MedSegTrainerLib.model.nnunet_architecture import plans_from_parameters
from MedSegTrainerLib.model.nnunet_folder import DATASET, PLANS
from MedSegTrainerLib.model.nnunet_labels import BACKGROUND, IGNORE
from MedSegTrainerLib.model.nnunet_plans import LABEL_MANAGER, PREPROCESSOR, RESAMPLING, SEPARATE
from MedSegTrainerLib.model.nnunet_tensors import to_nnunet
from MedSegTrainerLib.model.package import ModelPackage, load_members

READERS = {None: "SimpleITKIO", "RAS": "NibabelIOWithReorient"}  # by the sides to which an image is turned
SCHEMES = {
    "ct": "CTNormalization",
    "zscore": "ZScoreNormalization",
    "minmax": "RescaleTo01Normalization",
    "none": "NoNormalization",
}
SEPARATED = {name: value for value, name in SEPARATE.items()}
TRAINER, PLANS_NAME, CHECKPOINT = "nnUNetTrainer", "nnUNetPlans", "checkpoint_final.pth"
FILE_ENDING = ".nii.gz"


def write_nnunet(members: Sequence[ModelPackage], output: Path) -> Exported:
    """Writes the folder of a model, or of an ensemble whose members see the same images, whole or not at all.

    Raises UsageError for a name that says something else, and ModelError with everything that nnU-Net cannot do, and
    where the folder, read again, is another model.
    """
    plan = members[0].plan
    _refuse_misleading_name(output.name, _configuration(plan))
    problems = [*_problems(plan)]
    if problems:
        raise ModelError("nnU-Net cannot run this model: " + "; ".join(problems) + ".")
    with (
        tempfile.TemporaryDirectory(prefix=".tmp-", dir=output.parent) as scratch,
        quiet(),
        atomic.storage_errors(output),
    ):
        folder = Path(scratch) / output.name
        plans, dataset = _plans(members[0], output.name), _dataset(plan)
        for fold, member in enumerate(members):
            place = folder / f"fold_{fold}"
            place.mkdir(parents=True)
            torch.save(_checkpoint(member, fold, plans, dataset), place / CHECKPOINT)
        atomic.write_json(folder / PLANS, plans)
        atomic.write_json(folder / DATASET, dataset)
        difference = _compared(members, folder)
        shutil.move(str(folder), output)
    folds = " ".join(map(str, range(len(members))))
    command = f"nnUNetv2_predict_from_modelfolder -i IMAGES -o OUT -m {output} -f {folds}"
    return Exported(path=output, difference=difference, is_dynamic=False, usage=f"{command}{_label_text(plan)}")


def _refuse_misleading_name(name: str, configuration: str) -> None:
    """Who reads TRAINER__PLANS__CONFIGURATION takes it at its word."""
    parts = name.split("__")
    if len(parts) == 3 and parts[2] == configuration and parts[0] != TRAINER:
        raise UsageError(
            f"A model of nnU-Net in {name} would be taken for one of the trainer {parts[0]}. Call the folder "
            f"{TRAINER}__{PLANS_NAME}__{configuration}, or something without two '__'."
        )


def _problems(plan: Plan) -> Iterator[str]:
    if plan.architecture not in NNUNET:
        yield f"its network is {plan.architecture}, and nnU-Net has {' and '.join(NNUNET)} (train with --model)"
    elif plan.network.get("norm") == "group":
        yield "its network has group norm, and nnU-Net's have instance or batch norm"
    if plan.overlapping:
        yield "its classes overlap, and label maps of nnU-Net have one class a voxel"
    if plan.neighbour_slices:
        yield "its network sees neighbouring slices as channels"
    if plan.image_size is not None:
        yield "its images are resized to a number of pixels (image_size), and nnU-Net goes by millimetres"
    yield from (f"it normalises by {entry.method}" for entry in plan.normalization if entry.method not in SCHEMES)
    if plan.preparation is None:
        if plan.architecture in NNUNET and plan.image_size is None and not plan.neighbour_slices:
            yield "its images have one slice, and are turned to the sides of the patient as nnU-Net cannot"
    elif plan.preparation.orientation not in READERS or not plan.preparation.crop_to_nonzero:
        yield "its images are prepared as nnU-Net's readers and preprocessor do not"
    taken = sorted({BACKGROUND, IGNORE} & {*plan.class_names})
    yield from (f"a class is called '{name}', which means something else in nnU-Net" for name in taken)


def _dataset(plan: Plan) -> dict[str, Any]:
    return {
        "channel_names": {str(place): name for place, name in enumerate(plan.channel_names)},
        "labels": {BACKGROUND: 0, **{name: place for place, name in enumerate(plan.class_names, start=1)}},
        "file_ending": FILE_ENDING,
        "description": f"exported by MedSegTrainer {__version__}",
    }


def _plans(package: ModelPackage, name: str) -> dict[str, Any]:
    plan = package.plan
    assert plan.preparation is not None, "others are refused"
    transpose = list(plan.preparation.transpose)
    return {
        "dataset_name": name,
        "plans_name": PLANS_NAME,
        "original_median_spacing_after_transp": list(plan.spacing),
        "image_reader_writer": READERS[plan.preparation.orientation],
        "transpose_forward": transpose,
        "transpose_backward": [transpose.index(axis) for axis in range(3)],
        "configurations": {_configuration(plan): _settings(plan, plan.preparation)},
        "experiment_planner_used": f"MedSegTrainer {__version__}",
        "label_manager": LABEL_MANAGER,
        "foreground_intensity_properties_per_channel": {
            str(place): _intensities(entry) for place, entry in enumerate(plan.normalization)
        },
    }


def _configuration(plan: Plan) -> str:
    return "3d_fullres" if plan.dims == 3 else "2d"


def _settings(plan: Plan, preparation: Preparation) -> dict[str, Any]:
    first = 3 - plan.dims
    labels = {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None}
    return {
        "data_identifier": f"{PLANS_NAME}_{_configuration(plan)}",
        "preprocessor_name": PREPROCESSOR,
        "batch_size": plan.batch_size,
        "patch_size": list(plan.patch_size[first:]),
        "spacing": list(plan.spacing[first:]),
        "normalization_schemes": [SCHEMES[entry.method] for entry in plan.normalization],
        "use_mask_for_norm": [entry.masked for entry in plan.normalization],
        "resampling_fn_data": RESAMPLING,
        "resampling_fn_seg": RESAMPLING,
        "resampling_fn_data_kwargs": _resampling(preparation.image),
        "resampling_fn_seg_kwargs": labels,
        "resampling_fn_probabilities": RESAMPLING,
        "resampling_fn_probabilities_kwargs": _resampling(preparation.logits),
        "architecture": plans_from_parameters(plan.architecture, plan.network),
        "batch_dice": False,
    }


def _resampling(given: Resampling) -> dict[str, Any]:
    separate = SEPARATED[given.separate_z]
    return {"is_seg": False, "order": given.order, "order_z": given.order_z, "force_separate_z": separate}


def _intensities(entry: Normalization) -> dict[str, float]:
    """Of the voxels that are labelled; only ``CTNormalization`` looks at them."""
    return {
        "percentile_00_5": entry.low,
        "percentile_99_5": entry.high,
        "mean": entry.mean,
        "std": entry.std,
    }


def _checkpoint(package: ModelPackage, fold: int, plans: dict[str, Any], dataset: dict[str, Any]) -> dict[str, Any]:
    plan = package.plan
    axes = tuple(axis - (3 - plan.dims) for axis in plan.flip_axes)
    weights = to_nnunet(package.weights, plan.architecture, plan.network)
    return {
        "network_weights": {
            name: value.float() if value.is_floating_point() else value for name, value in weights.items()
        },
        "trainer_name": TRAINER,
        "init_args": {
            "plans": plans, "configuration": _configuration(plan), "fold": fold, "dataset_json": dataset
        },
        "inference_allowed_mirroring_axes": axes or None,
        "current_epoch": plan.epochs,
    }  # fmt: skip


def _compared(members: Sequence[ModelPackage], folder: Path) -> float:
    """The largest difference of a logit of the folder, read again; raises ModelError where it sees images otherwise."""
    read = load_members(folder)
    for was, now in zip((member.plan for member in members), (member.plan for member in read), strict=True):
        other = [name for name in SEEN if getattr(was, name) != getattr(now, name)]
        if other or was.class_names != now.class_names:
            raise ModelError(f"The folder of nnU-Net has other {', '.join([*other, 'classes'])}. It is not kept.")
    return check(members, Logits(*read), "The folder of nnU-Net")


SEEN = ("dims", "patch_size", "divisor", "channel_names", "flip_axes", "architecture", "normalization", "preparation")


def _label_text(plan: Plan) -> str:
    """What numbers the classes get where they had others."""
    values = [item.value for item in plan.classes]
    if values == [*range(1, len(values) + 1)]:
        return ""
    return f"\nThe classes {', '.join(map(str, values))} are 1 to {len(values)} there."
