"""The settings of the jobs that are not trainings; ``jobs/kinds.py`` lists all kinds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from MedSegTrainerLib.config.rankings import RANKINGS
from MedSegTrainerLib.config.result_formats import RESULT_FORMATS
from MedSegTrainerLib.config.settings import MOST_DEVICES, SCHEMA_VERSION, Auto, JobConfig, TrainConfig, setting

if TYPE_CHECKING:  # a type checker knows no names that come from a registry
    FormatName = str
    RankingName = str
else:
    FormatName = Literal[tuple(RESULT_FORMATS)]
    RankingName = Literal[tuple(RANKINGS)]


@dataclass(frozen=True, kw_only=True)
class CrossValidateConfig(JobConfig):
    """A job of kind ``cross-validate``: a training for each fold, and one model of all of them.

    ``train.data.folds`` says how many; the time budget is that of a fold.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    KIND: ClassVar[str] = "cross-validate"
    CHECK: ClassVar[str] = "MedSegTrainerLib.config.contradictions:fold_contradictions"

    train: TrainConfig = field(default_factory=TrainConfig)
    devices: int | Auto = setting(
        1,
        "Folds that train at the same time, each on a GPU of its own, or on its share of the CPU's cores; 'auto': "
        "as many as there are GPUs.",
        minimum=1,
        maximum=MOST_DEVICES,
    )


@dataclass(frozen=True, kw_only=True)
class FindRateConfig(JobConfig):
    """A job of kind ``find-lr``: a learning rate range test with the settings of a training."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    KIND: ClassVar[str] = "find-lr"
    CHECK: ClassVar[str] = "MedSegTrainerLib.config.contradictions:rate_contradictions"

    train: TrainConfig = field(default_factory=TrainConfig)
    lowest: float = setting(1e-7, "Learning rate to begin with.", minimum=1e-12, maximum=100)
    highest: float = setting(
        1.0, "Learning rate to end with, unless the loss explodes before.", minimum=1e-12, maximum=100
    )
    steps: int = setting(200, "Steps from the lowest to the highest rate.", minimum=20, maximum=100_000)


@dataclass(frozen=True, kw_only=True)
class ApplyConfig(JobConfig):
    """A job of kind ``apply``."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    KIND: ClassVar[str] = "apply"
    CHECK: ClassVar[str] = "MedSegTrainerLib.config.contradictions:apply_contradictions"

    model: str = setting("", "Model package: a folder, its zip, a job folder, or that of a cross-validation.")
    models: list[str] = setting([], "More models of the same classes, which are averaged with it.")
    inputs: list[str] = setting([], "Images, or folders of images.")
    cases: dict[str, list[str]] = setting({}, "More inputs, under names of their own: a file for each channel.")
    output_dir: str = setting("", "Where the label maps go, named after the inputs.")
    output_format: FormatName = setting(
        "seg.nrrd",
        "File type of the label maps; png: of 2D images only; nifti: another word for nii.gz; dicom-seg: DICOM "
        "segmentations of DICOM images, a frame for each slice of each segment; dicom-seg-labelmap: a frame a slice.",
    )
    nrrd_beside: bool = setting(
        False, "Write a .seg.nrrd of each result into the folder nrrd, too: what 3D Slicer opens where they are DICOM."
    )
    tta: bool = setting(False, "Average over the mirrorings the model was trained with.")
    tta_transforms: list[Literal["flip_x", "flip_y", "flip_z", "rotate90", "rotate180", "rotate270"]] | Auto = setting(
        "auto", "Which mirrorings, and turns in the plane by so many degrees; 'auto': all mirrorings, no turns."
    )
    overlap: float = setting(0.5, "Share of a window that its neighbour covers again.", minimum=0, maximum=0.9)
    probabilities: bool = setting(False, "Write how likely each class is at each voxel: a file a class.")
    uncertainty: bool = setting(
        False, "Write how unsure the result is: its entropy, and how far mirrorings and models disagree."
    )
    likely_dice: bool = setting(
        True, "Say how good each result probably is, as learnt from the held-out cases when the model was trained."
    )
    postprocess: bool = setting(True, "Clean up as it helped on the validation cases when the model was trained.")
    largest_component: bool = setting(False, "Keep the largest connected piece of each class only.")
    fill_holes: bool = setting(False, "Fill background that is enclosed on all sides.")
    minimum_size_mm3: float = setting(
        0.0, "Smaller pieces of a class are removed; cubic millimetres.", minimum=0, maximum=1e9
    )
    overwrite: bool = setting(False, "Make results again that 'apply' made before; files made by hand always stay.")
    device: str = setting("auto", "auto, cpu, cuda, cuda:1, ... or mps.")
    devices: int | Auto = setting(
        1,
        "GPUs that the models of an ensemble are spread over, to compute at the same time; 'auto': all.",
        minimum=1,
        maximum=MOST_DEVICES,
    )


@dataclass(frozen=True, kw_only=True)
class DrawnSlices:
    """Slices of an image that somebody has drawn. axis: of the patient, across them. slices: along the axis of the
    file's own array that is nearest to it, counted from 0."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    axis: Literal["x", "y", "z"]
    slices: list[int]


@dataclass(frozen=True, kw_only=True)
class SuggestConfig(JobConfig):
    """A job of kind ``suggest``: which slices of which images should be drawn next."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    KIND: ClassVar[str] = "suggest"
    CHECK: ClassVar[str] = "MedSegTrainerLib.config.contradictions:suggest_contradictions"

    model: str = setting("", "Model package: a folder, its zip, a job folder, or that of a cross-validation.")
    models: list[str] = setting([], "More models of the same classes, which are averaged with it.")
    inputs: list[str] = setting([], "Images, or folders of images.")
    cases: dict[str, list[str]] = setting({}, "More inputs, under names of their own: a file for each channel.")
    output_dir: str = setting("", "Where the suggestions go, with predictions and uncertainty of all images.")
    count: int = setting(5, "How many slices are suggested.", minimum=1, maximum=1000)
    ranking: RankingName = setting("class-stratified", "How they are chosen.")
    slice_axis: Literal["auto", "x", "y", "z"] = setting(
        "auto",
        "Axis of the patient across the slices; 'auto': of an image with drawn slices theirs, else that of the slices "
        "a 2D model sees, else that of the thickest slices.",
    )
    drawn: dict[str, DrawnSlices] = setting(
        {}, "Slices that are drawn already and never suggested, by the name of the image."
    )
    seed: int = setting(0, "Every random draw follows from this number.", minimum=0, maximum=2**53)
    device: str = setting("auto", "auto, cpu, cuda, cuda:1, ... or mps.")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(JobConfig):
    """A job of kind ``evaluate``."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    KIND: ClassVar[str] = "evaluate"

    predictions: str = setting("", "Folder of predicted label maps.")
    labels: str = setting("", "Folder of reference label maps, or a data set folder that holds them.")
    output_dir: str = setting("", "Where the report goes.")
    references: dict[str, str] = setting({}, "Reference label map of each case, by its name, instead of 'labels'.")
    images: dict[str, str] = setting({}, "Image of each case, by its name, for pictures; with 'references'.")
    masks: dict[str, dict[str, str]] = setting(
        {}, "Of cases in 'references' whose classes have a file each: the file of each class, by its name."
    )
    uncertainty: str = setting(
        "", "Folder of maps that are 0 where the model was sure; without it those beside the predictions."
    )
    drawn_file: str = setting(
        "",
        "JSON file {case: [class, ...]} of the classes that somebody looked for in each reference; without it "
        "drawn.json or cases.json beside 'labels'.",
    )
    drawn: dict[str, list[str]] = setting(
        {}, "Classes that somebody looked for in a reference, by the name of its case, instead of a file."
    )
    labelled_slices: Literal["none", "auto", "x", "y", "z"] = setting(
        "none",
        "Axis of the patient whose slices are labelled in the references where they have something in them, and "
        "unknown where not; 'auto' finds it in each. What cases.json beside 'labels' says of a case goes before.",
    )
    labelled: dict[str, Literal["auto", "x", "y", "z"]] = setting(
        {}, "The same of single references, by the name of the case."
    )
    labelled_boxes: dict[str, list[list[int]]] = setting(
        {},
        "First and last voxel (i, j, k) between which a reference is labelled, by the name of the case.",
        minimum=0,
        maximum=2**31 - 1,
    )
    model: str = setting("", "Model that made the predictions: its classes name the values; without it the files do.")
    metrics: list[str] = setting([], "What to show and write, such as dice, iou, hd95; without any: everything.")
    ignore_label: int | None = setting(
        None,
        "Reference value of voxels that do not count; without it that of the model, or 'ignore' of dataset.json.",
        minimum=-(2**31),
        maximum=2**31 - 1,
    )
    surface_tolerance_mm: float = setting(
        1.0, "Distance that surface Dice still takes as right, in mm.", minimum=0, maximum=1000
    )
    per_case: bool = setting(True, "Whether each case has its numbers in report and tables.")
    pictures_dir: str = setting("", "Where a PNG of each case goes; without it none are written.")
    overlay_alpha: float = setting(0.45, "Opacity of label maps over images, in pictures.", minimum=0, maximum=1)


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(JobConfig):
    """A job of kind ``verify``: the data doctor looks at the data of a training and at how it would be augmented."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    KIND: ClassVar[str] = "verify"

    train: TrainConfig = field(default_factory=TrainConfig)
    pictures: int = setting(100, "How many cases are drawn at most, the worst first.", minimum=0, maximum=100_000)
    samples: int = setting(6, "How many augmented patches are drawn.", minimum=0, maximum=50)


def job_document(config: JobConfig) -> dict[str, Any]:
    """The content of ``job.json`` for a configuration."""
    return {"schema_version": SCHEMA_VERSION, "kind": config.KIND, "config": asdict(config)}
