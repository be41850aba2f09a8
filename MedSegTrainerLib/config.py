"""Every setting of every kind of job, under the names of the training guide, with defaults and limits.

Frozen dataclasses of the standard library only, so that Slicer's Python can read and write them.
``validation.py`` turns untrusted JSON into them. ``"auto"`` is a value: ``planning.py`` resolves it
from the data and the device, and says why.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

SCHEMA_VERSION = 1
Auto = Literal["auto"]


def setting(default: Any, help_text: str, *, minimum: float | None = None, maximum: float | None = None) -> Any:
    """A dataclass field with the text shown to users (``--help``, tooltips) and its inclusive limits."""
    metadata = {"help": help_text, "minimum": minimum, "maximum": maximum}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which cases, how they are divided, and how patches are made from them."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    data_dir: str = setting("", "Folder with the labelled volumes (layouts: see the README).")
    train_split: float | Auto = setting(
        "auto", "Share of the cases to train on; 'auto' is what the others leave (0.7).", minimum=0, maximum=1
    )
    val_split: float = setting(0.15, "Share of the cases to validate on while training.", minimum=0, maximum=1)
    test_split: float = setting(
        0.15, "Share of the cases kept aside until the end; with fewer than 20 cases they train.", minimum=0, maximum=1
    )
    fold: int | None = setting(None, "Validate on this fold (from 0) instead of a random share.", minimum=0)
    folds: int = setting(5, "Number of folds that 'fold' counts in.", minimum=2)
    split_file: str | None = setting(
        None, "JSON file with explicit case lists: a list of folds, each {'train': [...], 'val': [...]}."
    )
    seed: int = setting(42, "Every random draw follows from this number.", minimum=0)
    spacing: list[float] | Auto = setting("auto", "Voxel size in mm (z, y, x) that the network sees.")
    patch_size: list[int] | Auto = setting("auto", "Voxels (z, y, x) that the network sees at once; z is 1 in 2D.")
    batch_size: int | Auto = setting("auto", "Patches per step.", minimum=1)
    samples_per_volume: int | Auto = setting("auto", "Patches drawn from each volume in an epoch.", minimum=1)
    foreground_oversampling: float = setting(
        0.33, "Share of patches centred on a voxel of a class drawn at random.", minimum=0, maximum=1
    )
    normalize: bool = setting(True, "Whether intensities are normalised.")
    normalization_type: Literal["auto", "zscore", "minmax", "percentile", "ct"] = setting(
        "auto", "How: mean 0 and deviation 1, range 0-1, 0.5-99.5 percentile to 0-1, or CT clipping."
    )
    augmentation: bool = setting(True, "Whether training patches are varied at random.")
    augmentation_strength: Literal["light", "standard", "strong"] = setting("standard", "How far they are varied.")
    flip_axes: list[Literal["x", "y", "z"]] | Auto = setting("auto", "Axes along which patches may be mirrored.")
    cache: Literal["auto", "disk", "memory", "device"] = setting("auto", "Where preprocessed volumes are kept.")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Which network; 'auto' takes the planned residual U-Net."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    type: Literal["auto", "PlannedUNet"] = setting("auto", "Architecture.")
    dims: Literal[2, 3] | Auto = setting("auto", "2: slice by slice; 3: whole patches.")
    base_channels: int | Auto = setting("auto", "Feature maps at full resolution; doubled at each level.", minimum=4)
    deep_supervision: bool | Auto = setting("auto", "Whether the loss is also taken at lower resolutions.")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What training minimises."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    loss_type: Literal["auto", "dice", "cross_entropy", "combined"] = setting("auto", "Loss function.")
    smooth: float = setting(1.0, "Added to numerator and denominator of the Dice term.", minimum=0)
    dice_weight: float = setting(0.5, "Weight of the Dice term of 'combined'.", minimum=0)
    ce_weight: float = setting(0.5, "Weight of the cross-entropy term of 'combined'.", minimum=0)
    class_weights: list[float] | None = setting(
        None, "Weight of each class in the cross-entropy, background first; none weighs all alike."
    )


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights are moved."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    optimizer_type: Literal["auto", "Adam", "AdamW", "SGD"] = setting("auto", "Optimizer.")
    learning_rate: float | Auto = setting("auto", "Largest learning rate of the schedule.", minimum=0)
    betas: list[float] = setting([0.9, 0.999], "Decay of Adam's moments.", minimum=0, maximum=1)
    eps: float = setting(1e-8, "Added to Adam's denominator.", minimum=0)
    weight_decay: float | Auto = setting(
        "auto", "Pull of the weights towards zero (norms and biases: none).", minimum=0
    )
    momentum: float = setting(0.9, "Momentum of SGD.", minimum=0, maximum=1)
    nesterov: bool = setting(True, "Nesterov momentum for SGD.")


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How long, on what, and how carefully."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    device: str = setting("auto", "auto, cpu, cuda, cuda:1, ... or mps.")
    epochs: int | Auto = setting("auto", "Passes over the data; 'auto' fits them to the budget.", minimum=1)
    budget: str | None = setting(None, "Time for everything, such as 20m or 1h30m; without it and epochs: 20m.")
    lr_schedule: Literal["auto", "constant", "cosine", "polynomial"] = setting("auto", "How the rate falls.")
    eta_min: float = setting(1e-6, "Rate at the end of the cosine schedule.", minimum=0)
    warmup_epochs: float | Auto = setting("auto", "Epochs in which the rate rises from near zero.", minimum=0)
    warmup_type: Literal["linear"] = setting("linear", "How it rises.")
    mixed_precision: bool | Auto = setting("auto", "16-bit arithmetic where the device gains from it.")
    channels_last: bool | Auto = setting("auto", "Memory order of feature maps; 'auto' takes the faster one.")
    gradient_accumulation_steps: int = setting(1, "Batches added up before the weights move.", minimum=1)
    gradient_clip: float | Auto | None = setting("auto", "Largest gradient; none leaves it as it is.", minimum=0)
    gradient_clip_type: Literal["norm", "value"] = setting("norm", "Whether the norm or each value is limited.")
    ema_decay: float | Auto | None = setting(
        "auto", "Decay of the running average of the weights that becomes the model; none uses the weights.",
        minimum=0, maximum=1,
    )  # fmt: skip
    validation_interval: int | Auto = setting("auto", "Epochs between validations.", minimum=1)
    checkpoint_seconds: float = setting(
        15.0, "Shortest time between checkpoints, which are written after epochs; 0 writes one after each.", minimum=0
    )
    early_stopping: bool = setting(False, "Stop when the validation does not improve.")
    patience: int = setting(30, "Epochs without improvement before stopping.", minimum=1)
    min_delta: float = setting(0.001, "Smallest change that counts as improvement.", minimum=0)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A job of kind ``train``."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


@dataclass(frozen=True, kw_only=True)
class ApplyConfig:
    """A job of kind ``apply``."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    model: str = setting("", "Model package: a folder, its zip, or a job folder.")
    inputs: list[str] = setting([], "Images, or folders of images.")
    output_dir: str = setting("", "Where the label maps go, named after the inputs.")
    output_format: Literal["seg.nrrd", "nii.gz", "mha"] = setting("seg.nrrd", "File type of the label maps.")
    tta: bool = setting(False, "Average over the mirrorings the model was trained with.")
    overlap: float = setting(0.5, "Share of a window that its neighbour covers again.", minimum=0, maximum=0.9)
    device: str = setting("auto", "auto, cpu, cuda, cuda:1, ... or mps.")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """A job of kind ``evaluate``."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    predictions: str = setting("", "Folder of predicted label maps.")
    labels: str = setting("", "Folder of reference label maps, or a data set folder that holds them.")
    output_dir: str = setting("", "Where the report goes.")


JobConfig = TrainConfig | ApplyConfig | EvaluateConfig
JOB_KINDS: dict[str, type[TrainConfig] | type[ApplyConfig] | type[EvaluateConfig]] = {
    "train": TrainConfig,
    "apply": ApplyConfig,
    "evaluate": EvaluateConfig,
}


def job_document(config: JobConfig) -> dict[str, Any]:
    """The content of ``job.json`` for a configuration."""
    kind = next(name for name, cls in JOB_KINDS.items() if type(config) is cls)
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "config": asdict(config)}
