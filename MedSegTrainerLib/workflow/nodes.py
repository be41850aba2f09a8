"""The node types of workflow documents: the settings that each holds, and the ports that links connect.

Only the standard library is imported, as in ``config/settings.py``. A network that ``NetworkConfig.type`` names is a
node type of that name.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from MedSegTrainerLib.config.settings import (
    Auto,
    DataConfig,
    LossConfig,
    NetworkConfig,
    OptimizerConfig,
    TrainerConfig,
    setting,
)
from MedSegTrainerLib.errors import did_you_mean


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """Settings of a ``BatchPredictor``. Folders lie in the output folder of the workflow, never outside."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    model: str = setting(
        "", "Trained model: a job folder, a model folder or its zip; not needed where the document trains one."
    )
    checkpoint: str = setting("", "The same as 'model'.")
    device: str = setting("auto", "auto, cpu, cuda, cuda:1, ... or mps.")
    save_predictions: bool = setting(True, "Whether the label maps stay when everything is measured.")
    output_dir: str = setting("predictions", "Where the label maps go.")
    output_format: Literal["nifti", "png", "npy"] = setting("nifti", "File type of the label maps.")
    apply_tta: bool = setting(False, "Average over mirrorings of the image.")
    tta_transforms: list[Literal["flip_x", "flip_y", "flip_z", "rotate90", "rotate180", "rotate270"]] | Auto = setting(
        "auto", "Which mirrorings, and turns in the plane; 'auto': the mirrorings the model was trained with."
    )
    overlap: float = setting(0.5, "Share of a window that its neighbour covers again.", minimum=0, maximum=0.9)


@dataclass(frozen=True, kw_only=True)
class MetricsConfig:
    """Settings of a ``MetricsCalculator``."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    metrics: list[str] = setting([], "What to show and write, such as dice, iou, hd95; without any: everything.")
    surface_tolerance_mm: float = setting(
        1.0, "Distance that surface Dice still takes as right, in mm.", minimum=0, maximum=1000
    )
    per_case: bool = setting(True, "Whether each case has its numbers in report and tables.")


@dataclass(frozen=True, kw_only=True)
class VisualizerConfig:
    """Settings of a ``Visualizer``. Its folder lies in the output folder of the workflow, never outside."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    output_dir: str = setting("pictures", "Where the pictures go, one PNG a case.")
    overlay_alpha: float = setting(0.45, "Opacity of the label maps over the images.", minimum=0, maximum=1)


SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "network": NetworkConfig,
    "loss": LossConfig,
    "optimizer": OptimizerConfig,
    "trainer": TrainerConfig,
    "predictor": PredictorConfig,
    "metrics": MetricsConfig,
    "visualizer": VisualizerConfig,
}
TRAINING_SECTIONS = ("data", "network", "loss", "optimizer", "trainer")


@dataclass(frozen=True, kw_only=True)
class Port:
    """An end of a link. ``names``: its own first, then others it is known by.

    sources: first names of the outputs that an input makes sense of; empty for all of its type.
    needed: whether an input must be linked where the document has a node that offers what it takes.
    """

    names: tuple[str, ...]
    type: Literal["BATCH", "MODEL", "TENSOR", "LOSS", "OPTIMIZER"]
    sources: tuple[str, ...] = ()
    needed: bool = False


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """``section``: which settings its ``config`` holds, a key of ``SECTIONS``."""

    section: str
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()


def keys_of(section: str) -> list[str]:
    """The keys that ``config`` of a node may have; a network's name is the type of the node itself."""
    return [item.name for item in fields(SECTIONS[section]) if (section, item.name) != ("network", "type")]


def node_name_of(section: str) -> str:
    """The node type that holds a section, as a text."""
    if section == "network":
        return f"a network ({', '.join(NETWORKS)})"
    return next(name for name, node in NODE_TYPES.items() if node.section == section)


def unknown_key(key: str, section: str) -> str:
    """What to say of a key that a section does not have: where it belongs, or the nearest that it has."""
    owners = [node_name_of(other) for other in SECTIONS if other != section and key in keys_of(other)]
    if owners:
        return f"this key belongs to {' or '.join(owners)}."
    return f"unknown key.{did_you_mean(key, keys_of(section))}"


NETWORKS = tuple(name for name in get_args(get_type_hints(NetworkConfig)["type"]) if name != "auto")

_LOADER = NodeType(
    section="data",
    outputs=tuple(Port(names=(name,), type="BATCH") for name in ("train_loader", "val_loader", "test_loader")),
)
_NETWORK = NodeType(section="network", outputs=(Port(names=("model",), type="MODEL"),))
_LOSS = NodeType(section="loss", outputs=(Port(names=("loss", "loss_fn"), type="LOSS"),))
_OPTIMIZER = NodeType(
    section="optimizer",
    inputs=(Port(names=("model",), type="MODEL", sources=("model",)),),
    outputs=(Port(names=("optimizer",), type="OPTIMIZER"),),
)
_TRAINER = NodeType(
    section="trainer",
    inputs=(
        Port(names=("train_loader", "dataloader"), type="BATCH", sources=("train_loader",), needed=True),
        Port(names=("val_loader",), type="BATCH", sources=("val_loader",)),
        Port(names=("test_loader",), type="BATCH", sources=("test_loader",)),
        Port(names=("model",), type="MODEL", sources=("model",), needed=True),
        Port(names=("loss", "loss_fn"), type="LOSS", needed=True),
        Port(names=("optimizer",), type="OPTIMIZER", needed=True),
    ),
    outputs=(Port(names=("trained_model",), type="MODEL"),),
)
_PREDICTOR = NodeType(
    section="predictor",
    inputs=(
        Port(names=("test_loader", "dataloader"), type="BATCH", needed=True),
        Port(names=("model",), type="MODEL", needed=True),
    ),
    outputs=(
        Port(names=("predictions", "all_predictions"), type="TENSOR"),
        Port(names=("all_labels",), type="TENSOR"),
        Port(names=("all_images",), type="TENSOR"),
    ),
)
_PREDICTED = (
    Port(names=("predictions",), type="TENSOR", sources=("predictions",), needed=True),
    Port(names=("all_labels", "labels"), type="TENSOR", sources=("all_labels",), needed=True),
)
_METRICS = NodeType(section="metrics", inputs=_PREDICTED)
_VISUALIZER = NodeType(
    section="visualizer",
    inputs=(*_PREDICTED, Port(names=("all_images", "images"), type="TENSOR", sources=("all_images",))),
)

NODE_TYPES: dict[str, NodeType] = {
    "MedicalSegmentationLoader": _LOADER,
    **dict.fromkeys(NETWORKS, _NETWORK),
    "LossFunction": _LOSS,
    "Optimizer": _OPTIMIZER,
    "Trainer": _TRAINER,
    "BatchPredictor": _PREDICTOR,
    "MetricsCalculator": _METRICS,
    "Visualizer": _VISUALIZER,
}
