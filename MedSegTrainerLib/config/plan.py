"""The resolved plan: every decision a training needs, none of them ``auto`` any more, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.settings import DataConfig, LossConfig

AXES = {"z": "zyx", "y": "yzx", "x": "xzy"}  # of an array whose slices lie one after the other along an axis
MethodName = Literal["none", "zscore", "minmax", "percentile", "ct", "sigmoid"]


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """``ct`` clips to [low, high] and subtracts ``mean`` and divides by ``std`` of the training foreground;
    ``sigmoid`` scales [low, high] to [-1, 1] and bends all to 0 to 1 by 1 / (1 + exp(-x)), as MONAI's Auto3DSeg does;
    the other methods take their numbers from each volume.

    masked: mean and deviation of ``zscore`` are of the voxels that are not 0 in every channel, with what these
    enclose, and the others stay 0 (nnU-Net's ``use_mask_for_norm``).
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    method: MethodName
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: float = 1.0
    masked: bool = False


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How values come onto another grid: splines of ``order``, or where one axis is much coarser than the others in its
    planes only, and along it with ``order_z``.

    separate_z: ``auto`` where voxels of either grid are more than 3 times as long as wide, as nnU-Net does it.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    order: int
    order_z: int
    separate_z: Literal["auto", "always", "never"] = "auto"


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What comes before and after the network where a model of another program says so.

    orientation: towards which sides x, y and z of the array grow, e.g. ``RAS``; None: as the file has it. transpose:
    the axes of the array (z, y, x) in the order in which the network sees them. crop_to_nonzero: the box around voxels
    that are not 0 in every channel is all that it sees. Intensities are normalised before ``image`` brings them onto
    the network's grid; ``logits`` brings its results back. These are averaged over windows, mirrorings and models of
    equal plans before they become probabilities, and windows lie, fade and are filled up as in nnU-Net.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    image: Resampling
    logits: Resampling
    transpose: tuple[int, int, int] = (0, 1, 2)
    orientation: str | None = None
    crop_to_nonzero: bool = True


@dataclass(frozen=True, kw_only=True)
class LabelCode:
    """What a number of a prepared label, beyond those of the classes, says of a voxel.

    present: the classes that are there, none for background. unknown: the classes that nobody looked for there, so
    that each may be there or not. Both are class indices, 1 the first class.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    present: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Spatial values are (z, y, x), or in the order of ``axes`` where that is another; spacing in mm.

    ``reasons`` maps the name of a choice to why it was made.
    In 2D ``patch_size[0]`` is 1. ``divisor``: what each axis of a window must be a multiple of. ``image_size``:
    (y, x) pixels that each 2D image is resized to fit into, its sides in proportion; None where ``spacing`` says it.
    ``neighbour_slices``: slices on each side that a 2D network sees as further channels. ``batch_parts``: pieces
    that a batch is computed in where it does not fit into memory at once; ``batch_size`` is that of a piece.
    ``ignore_label``: label value of voxels that nobody labelled. ``flip_axes`` are array axes: 0 is the first of
    ``axes``. ``slice_axis``: along which slices of 2D networks lie one after the other.
    ``sides``: names of axes to what a mirror image along them would do to classes that have a side.
    ``overlapping``: a voxel may have several classes, so each has a sigmoid of its own instead of one softmax of all.
    ``label_codes``: of prepared labels, what the numbers len(classes) + 1, len(classes) + 2, ... mean.
    ``preparation``: None where axes are the patient's and everything is as this program plans it.
    """

    dims: int
    spacing: tuple[float, float, float]
    image_size: tuple[int, int] | None
    patch_size: tuple[int, int, int]
    divisor: tuple[int, int, int]
    batch_size: int
    samples_per_volume: int
    normalization: tuple[Normalization, ...]
    channel_names: tuple[str, ...]
    classes: tuple[LabelClass, ...]
    ignore_label: int | None
    flip_axes: tuple[int, ...]
    architecture: str
    network: dict[str, Any]
    loss: LossConfig
    optimizer_type: str
    learning_rate: float
    weight_decay: float
    lr_schedule: str
    warmup_epochs: float
    gradient_clip: float | None
    ema_decay: float | None
    mixed_precision: bool
    channels_last: bool
    steps_per_epoch: int
    epochs: int
    validation_interval: int
    cache: str
    reasons: dict[str, str]
    neighbour_slices: int = 0
    batch_parts: int = 1
    compiled: bool = False
    sides: dict[str, str] = field(default_factory=dict)
    slice_axis: Literal["z", "y", "x"] = "z"
    overlapping: bool = False
    label_codes: tuple[LabelCode, ...] = ()
    foreground_oversampling: float = 0.33
    preparation: Preparation | None = None

    @property
    def axes(self) -> str:
        """The axes of arrays and of every spatial value: 'zyx', or another one first where slices lie along it.

        With a preparation they are axes of the file, or of its ``orientation``.
        """
        return axis_order(self.slice_axis, self.preparation)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.classes)

    @property
    def out_channels(self) -> int:
        """Logits a voxel: one for the background and for each class, or where classes overlap one for each class."""
        return len(self.classes) + (not self.overlapping)

    def oversampling(self, data: DataConfig) -> float:
        """Share of patches around a voxel of a class; ``data`` of jobs of earlier versions has the number itself."""
        given = data.foreground_oversampling
        return self.foreground_oversampling if given == "auto" else given

    def present_classes(self) -> dict[int, tuple[int, ...]]:
        """For each number of a prepared label, which classes are there: indices from 1 on, () for background."""
        single = [(), *((index,) for index in range(1, len(self.classes) + 1))]
        return dict(enumerate([*single, *(code.present for code in self.label_codes)]))

    @property
    def partly_drawn(self) -> tuple[str, ...]:
        """Names of the classes that nobody looked for in some case."""
        indices = {index for code in self.label_codes for index in code.unknown}
        return tuple(name for index, name in enumerate(self.class_names, start=1) if index in indices)

    def to_json(self) -> dict[str, Any]:
        """What ``parse_plan`` reads. Without a preparation the same as earlier versions wrote, which names of prepared
        cases and checksums of models follow from."""
        values = asdict(self)
        if self.preparation is None:
            del values["preparation"]
        for channel in values["normalization"]:
            if not channel["masked"]:
                del channel["masked"]
        return values


def axis_order(slice_axis: str, preparation: Preparation | None) -> str:
    """``Plan.axes``, of its two parts."""
    if preparation is not None:
        return "".join("zyx"[axis] for axis in preparation.transpose)
    return AXES[slice_axis]
