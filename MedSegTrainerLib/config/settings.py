"""Every setting of every kind of job, under the names of the training guide, with defaults and limits.

Frozen dataclasses of the standard library only, so that Slicer's Python can read and write them.
``parsing.py`` turns untrusted JSON into them. ``"auto"`` is a value: ``planner.py`` resolves it
from the data and the device, and says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.config.loss_terms import LOSS_TERMS

SCHEMA_VERSION = 1
Auto = Literal["auto"]
if TYPE_CHECKING:  # a type checker knows no names that come from a registry
    NetworkName = str
    LossName = str
else:
    NetworkName = Literal[tuple(["auto", *ARCHITECTURES])]
    LossName = Literal[tuple(["auto", *LOSS_TERMS, "combined"])]

# Limits lie far beyond what anybody uses: a slip of the keyboard must not start 10^6 processes, or train nothing.
MOST_FOLDS = 10_000
MOST_DEVICES = 256
MOST_EPOCHS = 1_000_000
LONGEST_EDGE = 32_768
HIGHEST_RATE = 10.0
NEARLY_ONE = 0.9999999  # a decay of 1 forgets nothing and learns nothing


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

    data_dir: str = setting("", "Folder with the labelled volumes (layouts: the page Data of the manual).")
    image_names: list[str] = setting(
        [], "Names of the image files in a folder for each case, one a channel, without the suffix: ['t1', 't2']."
    )
    label_name: str = setting(
        "", "Name of the label map in a folder for each case, without the suffix; or of the folder with its masks."
    )
    mask_names: list[str] = setting(
        [], "Classes to take where each case has a folder with a mask for each; empty: all of them."
    )
    train_split: float | Auto = setting(
        "auto", "Share of the cases to train on; 'auto' is what the others leave (0.7).", minimum=0, maximum=1
    )
    val_split: float = setting(0.15, "Share of the cases to validate on while training.", minimum=0, maximum=1)
    test_split: float = setting(
        0.15, "Share of the cases kept aside until the end; with fewer than 20 cases they train.", minimum=0, maximum=1
    )
    fold: int | None = setting(
        None, "Validate on this fold (from 0) instead of a random share.", minimum=0, maximum=MOST_FOLDS
    )
    folds: int = setting(5, "Number of folds that 'fold' counts in.", minimum=2, maximum=MOST_FOLDS)
    split_by: Literal["auto", "random", "stratified", "patient"] = setting(
        "auto",
        "How cases are divided: at random; so that each class is everywhere; all cases of a patient on one side. "
        "'auto': by patient where patients are known, else at random.",
    )
    patient_pattern: str | None = setting(
        None, "Regular expression that finds the patient in the name of a case: its first group, or all of it."
    )
    patient_table: str | None = setting(
        None, "Table of the patient of each case: CSV with the columns case and patient, or JSON {case: patient}."
    )
    split_file: str | None = setting(
        None, "JSON file with explicit case lists: a list of folds, each {'train': [...], 'val': [...]}."
    )
    seed: int = setting(42, "Every random draw follows from this number.", minimum=0, maximum=2**53)
    spacing: list[float] | Auto = setting(
        "auto", "Voxel size in mm (z, y, x) that the network sees.", minimum=1e-6, maximum=1000
    )
    image_size: int | list[int] | Auto = setting(
        "auto",
        "Longer side that a 2D image is resized to and seen whole; of volumes, the patch. One number, or one an axis.",
        minimum=1,
        maximum=LONGEST_EDGE,
    )
    patch_size: list[int] | Auto = setting(
        "auto", "Voxels (z, y, x) that the network sees at once; z is 1 in 2D.", minimum=1, maximum=LONGEST_EDGE
    )
    batch_size: int | Auto = setting("auto", "Patches per step.", minimum=1, maximum=4096)
    samples_per_volume: int | Auto = setting(
        "auto", "Patches drawn from each volume in an epoch.", minimum=1, maximum=10_000
    )
    overlap: float = setting(
        0.25, "Share of a window that its neighbour covers again in validation.", minimum=0, maximum=0.9
    )
    shuffle: bool = setting(True, "Whether each epoch visits the cases in another order.")
    case_sampling: Literal["uniform", "weighted"] = setting(
        "uniform", "All cases alike, or those with rare classes more often."
    )
    foreground_oversampling: float | Auto = setting(
        "auto",
        "Share of patches centred on a voxel of a class drawn at random; auto: 0.33, and 0.8 where a model that the "
        "training begins with has to learn further classes.",
        minimum=0,
        maximum=1,
    )
    normalize: bool = setting(True, "Whether intensities are normalised.")
    normalization_type: Literal["auto", "zscore", "minmax", "percentile", "ct"] = setting(
        "auto", "How: mean 0 and deviation 1, range 0-1, 0.5-99.5 percentile to 0-1, or CT clipping."
    )
    augmentation: bool = setting(True, "Whether training patches are varied at random.")
    augmentation_strength: Literal["light", "standard", "strong"] = setting("standard", "How far they are varied.")
    mixup: float = setting(
        0.0, "Share of batches that are mixed with others, intensities and loss (MixUp).", minimum=0, maximum=1
    )
    cutmix: float = setting(
        0.0, "Share of batches in which a box comes from another patch (CutMix).", minimum=0, maximum=1
    )
    ignore_label: int | None = setting(
        None, "Label value of voxels that nobody labelled: they do not count.", minimum=-(2**31), maximum=2**31 - 1
    )
    overlapping: bool | Auto = setting(
        "auto",
        "Whether a voxel may have several classes, so that each is learned against all else; 'auto': where they "
        "overlap in the data.",
    )
    labelled_slices: Literal["none", "auto", "x", "y", "z"] = setting(
        "none",
        "Axis of the patient whose slices are labelled where they have something in them, and unknown where not; "
        "'auto' finds it in each case.",
    )
    flip_axes: list[Literal["x", "y", "z"]] | Auto = setting("auto", "Axes along which patches may be mirrored.")
    slice_axis: Literal["auto", "x", "y", "z"] = setting(
        "auto", "Axis of the patient along which slices of a 2D network lie; 'auto': that of the thickest slices."
    )
    cache: Literal["auto", "disk", "memory", "device"] = setting("auto", "Where preprocessed volumes are kept.")
    cache_dir: str = setting(
        "",
        "Folder shared by jobs, where prepared cases are found again by the content of their files. Empty: none.",
    )
    cache_gb: float = setting(
        20.0, "Size of that folder in GB; what was not used for longest goes first.", minimum=0, maximum=1e6
    )
    num_workers: int | Auto = setting(
        "auto", "Volumes that are read and prepared at the same time.", minimum=0, maximum=512
    )
    pin_memory: bool = setting(True, "Page-locked memory for volumes on their way to a GPU.")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Which network; 'auto' takes the planned residual U-Net. Parameters a network does not have must stay 'auto'."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    type: NetworkName = setting("auto", "Architecture.")
    dims: Literal[2, 3] | Auto = setting("auto", "2: slice by slice; 3: whole patches.")
    dimension: Literal["auto", "2d", "3d"] = setting("auto", "The same as dims.")
    neighbour_slices: int = setting(
        0, "Slices on each side that a 2D network sees as further channels.", minimum=0, maximum=8
    )
    base_channels: int | Auto = setting(
        "auto", "Feature maps at full resolution; doubled at each level.", minimum=2, maximum=1024
    )
    init_filters: int | Auto = setting("auto", "The same of a SegResNet.", minimum=2, maximum=1024)
    in_channels: int | Auto = setting("auto", "Channels of the images; the data decides.", minimum=1, maximum=1024)
    out_channels: int | Auto = setting(
        "auto", "Classes with the background; the data decides.", minimum=1, maximum=2**15
    )
    num_classes: int | Auto = setting("auto", "The same as out_channels.", minimum=1, maximum=2**15)
    aspp_rates: list[int] | Auto = setting(
        "auto", "Distances at which DeepLabV3Plus looks around, in maps.", minimum=1, maximum=256
    )
    img_size: int | list[int] | Auto = setting(
        "auto", "Patch of a transformer; the same as data.image_size.", minimum=1, maximum=LONGEST_EDGE
    )
    embed_dim: int | Auto = setting("auto", "Width of a transformer's tokens.", minimum=12, maximum=4096)
    num_heads: int | Auto = setting("auto", "Heads of a transformer's attention.", minimum=1, maximum=256)
    num_layers: int | Auto = setting("auto", "Layers of a transformer.", minimum=1, maximum=100)
    window_size: int | Auto = setting(
        "auto", "Edge of the windows that a Swin transformer attends in.", minimum=2, maximum=64
    )
    norm: Literal["auto", "instance", "group", "batch"] = setting(
        "auto", "Normalisation; group and instance suit small batches."
    )
    dropout: float = setting(
        0.0, "Share of values in the network that are switched off at random in training.", minimum=0, maximum=0.95
    )
    deep_supervision: bool | Auto = setting("auto", "Whether the loss is also taken at lower resolutions.")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What training minimises."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    loss_type: LossName = setting("auto", "Loss function.")
    smooth: float = setting(
        1e-5,
        "Added to numerator and denominator of the Dice term. With 1 and more, patches that lack a rare class push it "
        "away for good.",
        minimum=0,
        maximum=1e6,
    )
    alpha: float | list[float] = setting(
        0.25,
        "Weight of the focal term: one number, or one a class, background first.",
        minimum=0,
        maximum=1e6,
    )
    gamma: float = setting(
        2.0, "How far the focal term turns to the voxels that are still wrong.", minimum=0, maximum=100
    )
    class_weights: list[float] | Auto | None = setting(
        None,
        "Weight of each class in the cross-entropy, background first; 'auto': rare classes more; none: all alike.",
        minimum=0,
        maximum=1e6,
    )
    dice_weight: float | None = setting(
        None,
        "Weight of the Dice term of 'combined'; without any weight Dice and cross-entropy have 0.5.",
        minimum=0,
        maximum=1e6,
    )
    ce_weight: float | None = setting(None, "Weight of the cross-entropy term of 'combined'.", minimum=0, maximum=1e6)
    focal_weight: float | None = setting(None, "Weight of the focal term of 'combined'.", minimum=0, maximum=1e6)
    boundary_weight: float | None = setting(None, "Weight of the boundary term of 'combined'.", minimum=0, maximum=1e6)

    def weights(self) -> dict[str, float]:
        """Term (a ``loss_type``) to its weight; a term that is not named weighs 0."""
        if self.loss_type not in ("auto", "combined"):
            return {self.loss_type: 1.0}
        configured: dict[str, float | None] = {
            name: getattr(self, term.weight) for name, term in LOSS_TERMS.items() if term.weight
        }
        if all(weight is None for weight in configured.values()):
            return {"dice": 0.5, "cross_entropy": 0.5}
        return {term: weight for term, weight in configured.items() if weight}


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights are moved."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    optimizer_type: Literal["auto", "Adam", "AdamW", "SGD"] = setting("auto", "Optimizer.")
    learning_rate: float | Auto = setting(
        "auto", "Largest learning rate of the schedule.", minimum=1e-12, maximum=HIGHEST_RATE
    )
    betas: list[float] = setting([0.9, 0.999], "Decay of Adam's moments.", minimum=0, maximum=NEARLY_ONE)
    eps: float = setting(1e-8, "Added to Adam's denominator.", minimum=1e-16, maximum=1)
    weight_decay: float | Auto = setting(
        "auto",
        "Pull of the weights towards zero (norms and biases: none).",
        minimum=0,
        maximum=10,
    )
    momentum: float = setting(0.9, "Momentum of SGD.", minimum=0, maximum=NEARLY_ONE)
    nesterov: bool = setting(True, "Nesterov momentum for SGD.")


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How long, on what, and how carefully."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    device: str = setting("auto", "auto, cpu, cuda, cuda:1, ... or mps.")
    devices: int = setting(
        1, "GPUs of this machine, or processes on its CPU, that share each batch.", minimum=1, maximum=MOST_DEVICES
    )
    epochs: int | Auto = setting(
        "auto", "Passes over the data; 'auto' fits them to the budget.", minimum=1, maximum=MOST_EPOCHS
    )
    budget: str | None = setting(None, "Time for everything, such as 20m or 1h30m; without it and epochs: 20m.")
    lr_schedule: Literal["auto", "constant", "step", "cosine", "plateau", "polynomial"] = setting(
        "auto", "How the rate falls."
    )
    step_size: int = setting(50, "Epochs between the falls of the schedule 'step'.", minimum=1, maximum=MOST_EPOCHS)
    gamma: float = setting(0.1, "What 'step' multiplies the rate by.", minimum=0, maximum=1)
    T_max: int | Auto = setting(
        "auto", "Epochs in which 'cosine' reaches eta_min; 'auto': all.", minimum=1, maximum=MOST_EPOCHS
    )
    eta_min: float = setting(1e-6, "Smallest rate of 'cosine' and 'plateau'.", minimum=0, maximum=HIGHEST_RATE)
    power: float = setting(0.9, "Exponent of 'polynomial'.", minimum=0, maximum=100)
    factor: float = setting(0.5, "What 'plateau' multiplies the rate by.", minimum=0, maximum=1)
    lr_patience: int | Auto = setting(
        "auto",
        "Epochs without a better validation loss before 'plateau' lowers the rate; 'auto': patience, or 10 "
        "where that is early stopping's.",
        minimum=1,
        maximum=MOST_EPOCHS,
    )
    warmup_epochs: float | Auto = setting(
        "auto", "Epochs in which the rate rises from near zero.", minimum=0, maximum=MOST_EPOCHS
    )
    warmup_type: Literal["linear"] = setting("linear", "How it rises.")
    mixed_precision: bool | Auto = setting("auto", "16-bit arithmetic where the device gains from it.")
    channels_last: bool | Auto = setting("auto", "Memory order of feature maps; 'auto' takes the faster one.")
    compile: bool | Auto = setting("auto", "Network compiled by PyTorch; 'auto': on an NVIDIA GPU, where it pays.")
    gradient_accumulation_steps: int = setting(1, "Batches added up before the weights move.", minimum=1, maximum=4096)
    gradient_clip: float | Auto | None = setting(
        "auto", "Largest gradient; none leaves it as it is.", minimum=1e-9, maximum=1e9
    )
    gradient_clip_type: Literal["norm", "value"] = setting("norm", "Whether the norm or each value is limited.")
    ema_decay: float | Auto | None = setting(
        "auto",
        "Decay of the running average of the weights that becomes the model; none uses the weights.",
        minimum=0,
        maximum=NEARLY_ONE,
    )
    validation_interval: int | Auto = setting("auto", "Epochs between validations.", minimum=1, maximum=MOST_EPOCHS)
    monitor: str = setting(
        "val_dice", "Logged metric that says which model is best: val_dice, val_loss, val_iou, val_dice/liver, ..."
    )
    monitor_mode: Literal["auto", "min", "max"] = setting(
        "auto", "Whether smaller or larger is better; 'auto': smaller for losses."
    )
    early_stopping: bool = setting(False, "Stop when the monitored metric does not improve.")
    patience: int | Auto = setting(
        "auto",
        "Epochs without improvement before stopping; 'auto': 30. Without early_stopping that of 'plateau'.",
        minimum=1,
        maximum=MOST_EPOCHS,
    )
    min_delta: float = setting(0.001, "Smallest change that counts as improvement.", minimum=0, maximum=1e6)
    checkpoint_dir: str = setting("checkpoints", "Folder of the checkpoints, inside the job folder unless absolute.")
    checkpoint_seconds: float = setting(
        15.0,
        "Shortest time between checkpoints, which are written after epochs; 0 writes one after each.",
        minimum=0,
        maximum=1e9,
    )
    save_frequency: int | None = setting(
        None,
        "Every so many epochs a checkpoint is kept under the number of its epoch.",
        minimum=1,
        maximum=MOST_EPOCHS,
    )
    keep_checkpoints: int = setting(3, "How many of these are kept; older ones go.", minimum=1, maximum=MOST_EPOCHS)
    save_best_only: bool = setting(
        False, "Keep the checkpoint with the best monitored metric as best.pt, and none by number."
    )
    tensorboard: bool = setting(True, "Write event files for TensorBoard.")


@dataclass(frozen=True, kw_only=True)
class JobConfig:
    """The settings of a job, of whatever kind.

    KIND: its name in ``job.json``. CHECK: where the function is that gives a line for each contradiction among the
    settings, as "module:function"; it is loaded when a configuration is parsed.
    """

    KIND: ClassVar[str]
    CHECK: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """The trained model that a training begins with."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    model: str = setting("", "Trained model to begin with: a job, a model folder or its zip. Empty: from nothing.")
    rename: list[str] = setting(
        [],
        "Classes of that model under their new names: ['old=new', ...]. Two that become one are joined, one that "
        "becomes two is divided.",
    )
    adapt: bool = setting(False, "Whether to go on with what can be kept where the model does not fit the data.")
    rate_factor: float = setting(
        1.0, "What the learning rate is multiplied by, unless it is set.", minimum=1e-6, maximum=1
    )
    frozen_share: float = setting(
        0.0, "Share of the training in which nothing but the last layer learns, and the first one of new channels.",
        minimum=0, maximum=1,
    )  # fmt: skip
    kept_share: float = setting(
        0.25,
        "Share of the weights that it began with in the model that is judged and kept, as a mean of both; 0: none.",
        minimum=0, maximum=1,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainConfig(JobConfig):
    """A job of kind ``train``."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    KIND: ClassVar[str] = "train"
    CHECK: ClassVar[str] = "MedSegTrainerLib.config.contradictions:training_contradictions"

    data: DataConfig = field(default_factory=DataConfig)
    start: StartConfig = field(default_factory=StartConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
