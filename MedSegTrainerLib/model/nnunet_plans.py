"""nnU-Net's ``plans.json``, in its old and new forms, as the values of a plan of this program; standard library only.

Spatial values stay in nnU-Net's order, that of the transposed array of the file, and ``preparation`` says what comes
before and after the network (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from MedSegTrainerLib.errors import ModelError, did_you_mean
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerLib.model.nnunet_architecture import parameters_from_plans
from MedSegTrainerLib.model.nnunet_labels import channel_names, class_entries

READERS = {  # to the sides towards which x, y and z of their arrays grow; None: as the file has it
    "SimpleITKIO": None,
    "SimpleITKIOWithReorient": "RAS",
    "NibabelIO": None,
    "NibabelIOWithReorient": "RAS",
    "NaturalImage2DIO": None,
    "Tiff3DIO": None,
}
TRAINER_NORMS = {"nnUNetTrainerBN": "batch"}  # trainers that build another network than the plans name
PREFIX = "nnUNetTrainer"
OWN_VARIANTS = frozenset(  # of nnU-Net 2.8.1: what stands behind the prefix
    {
        "Adam", "Adam1en3", "Adam3en4", "Adan", "Adan1en1", "Adan1en3", "Adan3en4", "AdanCosAnneal", "BN",
        "Benchmark_5epochs", "Benchmark_5epochs_noDataLoading", "CELoss", "CELoss_5epochs", "CosAnneal", "DA5",
        "DA5Segord0", "DA5_10epochs", "DA5ord0", "DiceCELoss_noSmooth", "DiceLoss", "DiceTopK10Loss", "NoDA",
        "NoDeepSupervision", "NoMirroring", "Topk10Loss", "Topk10LossLS01", "VanillaAdam", "VanillaAdam1en3",
        "VanillaAdam3en4", "_100epochs", "_10epochs", "_1epoch", "_2000epochs", "_2000epochs_NoMirroring",
        "_20epochs", "_250epochs", "_250epochs_NoMirroring", "_4000epochs", "_4000epochs_NoMirroring", "_500epochs",
        "_50epochs", "_5epochs", "_750epochs", "_8000epochs", "_8000epochs_NoMirroring", "_DASegOrd0",
        "_DASegOrd0_NoMirroring", "_noDummy2DDA", "_onlyMirror01", "_onlyMirror01_1500ep", "_onlyMirror01_DA5",
        "_onlyMirror01_DASegOrd0", "_probabilisticOversampling", "_probabilisticOversampling_010",
        "_probabilisticOversampling_033", "_warmup",
    }
)  # fmt: skip
WITHOUT_HEADS = ("nnUNetTrainerNoDeepSupervision",)  # whose coarse logits were never learned
PREPROCESSOR, LABEL_MANAGER = "DefaultPreprocessor", "LabelManager"
RESAMPLING = "resample_data_or_seg_to_shape"
LINEAR_RESAMPLING = "resample_torch_fornnunet"  # linear in planes, nearest along a coarse axis
ANISOTROPY = 3
SEPARATE = {None: "auto", True: "always", False: "never"}
LEARNING = {  # nnU-Net's recipe, for a training that goes on
    "batch_parts": 1,
    "samples_per_volume": 1,
    "loss": {"loss_type": "combined", "dice_weight": 1.0, "ce_weight": 1.0},
    "optimizer_type": "SGD",
    "learning_rate": 0.01,
    "weight_decay": 3e-5,
    "lr_schedule": "polynomial",
    "warmup_epochs": 0.0,
    "gradient_clip": 12.0,
    "ema_decay": None,
    "mixed_precision": False,  # 16 bits would change labels
    "channels_last": False,  # there a CPU adds up the variance of large maps too coarsely: 0.3 % of the voxels differed
    "steps_per_epoch": 250,
    "epochs": 1000,
    "validation_interval": 1,
    "cache": "disk",
}
Values = Mapping[str, Any]
Problems = list[str]


def plan_entries(plans: Values, dataset: Values, configuration: str, trainer: str) -> tuple[dict[str, Any], Problems]:
    """The values of a plan, as ``Plan.to_json`` has them, and everything that speaks against it.

    Every axis may be mirrored, since only a checkpoint says which may not.
    """
    problems: Problems = []
    settings = _resolved(plans, configuration, problems)
    if problems:
        return {}, problems
    _refuse_special(plans, settings, configuration, problems)
    channels = channel_names(dataset, problems)
    classes = class_entries(dataset, problems)
    outputs = len(classes["classes"]) + (not classes["overlapping"])
    dims = len(settings["patch_size"])
    network = _network(settings, trainer, len(channels), outputs, problems)
    grid = _grid(plans, settings, network, problems)
    normalization = _normalization(plans, settings, len(channels), problems)
    entries = {
        "dims": dims,
        "image_size": None,
        **grid,
        "batch_size": settings.get("batch_size", 2),
        "normalization": normalization,
        "channel_names": channels,
        **classes,
        "flip_axes": list(range(3 - dims, 3)),
        **network,
        **LEARNING,
        "preparation": _preparation(plans, settings, problems),
        "reasons": _reasons(plans, configuration),
    }
    return entries, problems


def is_own_trainer(name: str) -> bool:
    """Whether a trainer is one of nnU-Net itself, so that what it does to the network is known."""
    return name == PREFIX or (name.startswith(PREFIX) and name.removeprefix(PREFIX) in OWN_VARIANTS)


def _network(settings: Values, trainer: str, channels: int, outputs: int, problems: Problems) -> dict[str, Any]:
    """``architecture`` and ``network``; {} where they are none of ours."""
    try:
        architecture, parameters = parameters_from_plans(
            settings, in_channels=channels, out_channels=outputs, norm=TRAINER_NORMS.get(trainer)
        )
    except ModelError as error:
        problems.append(str(error))
        return {}
    if parameters["dims"] != len(settings["patch_size"]):
        problems.append(f"its network is {parameters['dims']}D, and patch_size is {settings['patch_size']}.")
        return {}
    if trainer in WITHOUT_HEADS:
        parameters["deep_supervision"] = False
    return {"architecture": architecture, "network": parameters}


def configuration_names(plans: Values) -> list[str]:
    """The configurations of which a model can be."""
    found = plans.get("configurations")
    return list(found) if isinstance(found, dict) else []


def _resolved(plans: Values, name: str, problems: Problems) -> dict[str, Any]:
    """A configuration with what it inherits."""
    configurations: Any = plans.get("configurations")
    if not fits(configurations, dict[str, dict[str, Any]]):
        problems.append("plans.json has no configurations.")
        return {}
    chain: list[str] = []
    merged: dict[str, Any] = {}
    parent: Any = name
    while parent is not None:
        if not isinstance(parent, str) or parent not in configurations:
            near = did_you_mean(str(parent), configurations)
            problems.append(f"plans.json has no configuration {parent!r:.60}.{near}")
            return {}
        if parent in chain:
            problems.append(f"plans.json: the configuration '{parent}' inherits from itself.")
            return {}
        chain.append(parent)
        merged = {**configurations[parent], **merged}
        parent = configurations[parent].get("inherits_from")
    patch: Any = merged.get("patch_size")
    spacing: Any = merged.get("spacing")
    if not fits(patch, list[int]) or len(patch) not in (2, 3) or not fits(spacing, list[float]):
        problems.append(f"the configuration '{name}' needs patch_size and spacing along 2 or 3 axes.")
    elif len(spacing) != len(patch):
        problems.append(f"the configuration '{name}' has patch_size {patch} and spacing {spacing}.")
    return merged


def _refuse_special(plans: Values, settings: Values, configuration: str, problems: Problems) -> None:
    if settings.get("previous_stage"):
        problems.append(
            f"'{configuration}' is the second stage of a cascade and needs the label maps of "
            f"'{settings['previous_stage']!s:.60}'. Take a model of one stage, such as 3d_fullres."
        )
    expected = {
        "image_reader_writer": (plans.get("image_reader_writer", "SimpleITKIO"), READERS),
        "label_manager": (plans.get("label_manager", LABEL_MANAGER), (LABEL_MANAGER,)),
        "preprocessor_name": (settings.get("preprocessor_name", PREPROCESSOR), (PREPROCESSOR,)),
    }
    for key, (found, known) in expected.items():
        if not isinstance(found, str) or found not in known:
            problems.append(f"{key} is {found!r:.100}, and known are {', '.join(known)}.")


def _grid(plans: Values, settings: Values, network: Values, problems: Problems) -> dict[str, Any]:
    patch, spacing = settings["patch_size"], settings["spacing"]
    strides = network["network"]["strides"] if network else [[1] * len(patch)]
    divisor = [math.prod(axis) for axis in zip(*strides, strict=True)]
    if len(patch) == 3:
        return {"spacing": spacing, "patch_size": patch, "divisor": divisor}
    median: Any = plans.get("original_median_spacing_after_transp")
    if not fits(median, list[float]) or len(median) != 3:
        problems.append("plans.json: original_median_spacing_after_transp must have 3 numbers.")
        median = [1.0]
    return {"spacing": [median[0], *spacing], "patch_size": [1, *patch], "divisor": [1, *divisor]}


def _normalization(plans: Values, settings: Values, channels: int, problems: Problems) -> list[dict[str, Any]]:
    schemes: Any = settings.get("normalization_schemes")
    masks: Any = settings.get("use_mask_for_norm")
    if not fits(schemes, list[str]) or not fits(masks, list[bool]) or not len(schemes) == len(masks) == channels:
        problems.append(
            f"normalization_schemes and use_mask_for_norm must have an entry for each of {channels} channels."
        )
        return []
    properties = plans.get("foreground_intensity_properties_per_channel")
    entries = []
    for place, (scheme, mask) in enumerate(zip(schemes, masks, strict=True)):
        of_channel = properties.get(str(place)) if isinstance(properties, dict) else None
        entry = _one_normalization(scheme, mask, of_channel)
        if entry is None:
            problems.append(f"the normalisation {scheme:.60} of channel {place} is not known, or lacks its numbers.")
        else:
            entries.append(entry)
    return entries


def _one_normalization(scheme: str, mask: bool, properties: Any) -> dict[str, Any] | None:
    if scheme == "CTNormalization":
        keys = ("percentile_00_5", "percentile_99_5", "mean", "std")
        numbers: Any = [properties.get(key) for key in keys] if isinstance(properties, dict) else [None]
        if not fits(numbers, list[float]):
            return None
        return {"method": "ct", **dict(zip(("low", "high", "mean", "std"), map(float, numbers), strict=True))}
    known: dict[str, dict[str, Any]] = {
        "ZScoreNormalization": {"method": "zscore", "masked": mask},
        "NoNormalization": {"method": "none"},
        "RescaleTo01Normalization": {"method": "minmax"},
        "RGBTo01Normalization": {"method": "ct", "low": 0.0, "high": 255.0, "mean": 0.0, "std": 255.0},
    }
    return known.get(scheme)


def _preparation(plans: Values, settings: Values, problems: Problems) -> dict[str, Any]:
    transpose: Any = plans.get("transpose_forward", [0, 1, 2])
    if not fits(transpose, list[int]) or sorted(transpose) != [0, 1, 2]:
        problems.append(f"plans.json: transpose_forward is {transpose!r:.60}, and must have 0, 1 and 2.")
    return {
        "orientation": READERS.get(str(plans.get("image_reader_writer"))),
        "transpose": transpose,
        "crop_to_nonzero": True,
        "image": _resampling(settings, "data", problems),
        "logits": _resampling(settings, "probabilities", problems),
    }


def _resampling(settings: Values, what: str, problems: Problems) -> dict[str, Any]:
    """Splines, and along a coarse axis their order there."""
    function, given = settings.get(f"resampling_fn_{what}"), settings.get(f"resampling_fn_{what}_kwargs")
    values = given if isinstance(given, dict) else {}
    separate, threshold = values.get("force_separate_z"), values.get("separate_z_anisotropy_threshold", ANISOTROPY)
    linear = {"order": 1, "order_z": 0}
    orders = {key: values.get(key, default) for key, default in {"order": 3, "order_z": 0}.items()}
    numbers = {RESAMPLING: orders, LINEAR_RESAMPLING: linear}.get(function if isinstance(function, str) else "")
    if numbers is None or threshold != ANISOTROPY or values.get("mode", "linear") != "linear":
        problems.append(f"resampling_fn_{what} is {function!r:.60} with {values!r:.100}, which is not known here.")
    elif not isinstance(separate, bool | None) or not all(type(n) is int and 0 <= n <= 5 for n in numbers.values()):
        problems.append(f"resampling_fn_{what}_kwargs is {values!r:.100}: orders are 0 to 5.")
        separate = None
    return {**(numbers or linear), "separate_z": SEPARATE[separate if isinstance(separate, bool) else None]}


def _reasons(plans: Values, configuration: str) -> dict[str, str]:
    text = f"as nnU-Net's plans say ({plans.get('plans_name', 'unnamed')!s:.60}, {configuration:.60})"
    return dict.fromkeys(("network", "dims", "spacing", "patch_size", "normalization", "preparation"), text)
