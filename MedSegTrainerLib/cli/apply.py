"""The command that segments images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MedSegTrainerLib.cli.options import Device
from MedSegTrainerLib.cli.shared import create_and_run
from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.result_formats import format_names
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.job import JobFolder

TrainedModel = Annotated[
    Path, typer.Argument(help="A model folder, also of nnU-Net, its zip, or the job that trained it.")
]
Images = Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Images, or folders of images.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the label maps.")]
MoreModels = Annotated[
    list[Path] | None, typer.Option("--model", metavar="MODEL", help="Average with this model too; may be repeated.")
]
Mirrorings = Annotated[bool, typer.Option("--tta", help="Average over mirrorings: a little better, slower.")]
Transforms = Annotated[
    list[str] | None,
    typer.Option(
        "--tta-transform",
        metavar="NAME",
        help="Average over this one: flip_x, flip_y, flip_z, rotate90, rotate180, rotate270; may be repeated.",
    ),
]
SpreadOver = Annotated[
    str,
    typer.Option("--devices", metavar="N", help="GPUs that the models of an ensemble are spread over; auto: all."),
]
OutputFormat = Annotated[
    str,
    typer.Option("--format", metavar="TYPE", help=f"One of {format_names()}."),
]
Overlap = Annotated[
    float,
    typer.Option(metavar="SHARE", help="How far neighbouring windows overlap, 0 to 0.9: more is slower, smoother."),
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Write how likely each class is at each voxel, a file a class.")
]
Uncertainty = Annotated[
    bool,
    typer.Option("--uncertainty", help="Write how unsure the result is, and how far mirrorings and models differ."),
]
NoLikelyDice = Annotated[
    bool, typer.Option("--no-likely-dice", help="Do not look twice to say how good each result probably is: faster.")
]
NoPostprocess = Annotated[
    bool, typer.Option("--no-postprocess", help="Without the clean-up that helped when the model was trained.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Make label maps again that 'apply' made; without it the same are kept.")
]
LargestComponent = Annotated[
    bool, typer.Option("--largest-component", help="Keep the largest connected piece of each class only.")
]
FillHoles = Annotated[bool, typer.Option("--fill-holes", help="Fill background that is enclosed on all sides.")]
MinimumSize = Annotated[float, typer.Option(metavar="MM3", help="Remove pieces smaller than this, in mm3.")]


def apply(
    model: TrainedModel,
    inputs: Images,
    output: Output,
    more_models: MoreModels = None,
    tta: Mirrorings = False,
    transforms: Transforms = None,
    device: Device = "auto",
    devices: SpreadOver = "1",
    output_format: OutputFormat = "seg.nrrd",
    overlap: Overlap = 0.5,
    probabilities: Probabilities = False,
    uncertainty: Uncertainty = False,
    no_likely_dice: NoLikelyDice = False,
    no_postprocess: NoPostprocess = False,
    overwrite: Overwrite = False,
    largest_component: LargestComponent = False,
    fill_holes: FillHoles = False,
    minimum_size: MinimumSize = 0.0,
) -> None:
    """Segment images with a trained model.

    Each label map lies on exactly the grid of its image and is named after it.
    """
    for path in (model, *(more_models or []), *inputs):
        if not path.exists():
            raise UsageError(f"{path} does not exist. Check the path.")
    values = {
        "model": str(model.resolve()), "models": [str(path.resolve()) for path in more_models or []],
        "probabilities": probabilities, "uncertainty": uncertainty, "likely_dice": not no_likely_dice,
        "postprocess": not no_postprocess, "overwrite": overwrite, "tta_transforms": transforms or "auto",
        "inputs": [str(path.resolve()) for path in inputs],
        "output_dir": str(output.resolve()), "output_format": output_format,
        "tta": tta or bool(transforms), "device": device, "devices": devices, "overlap": overlap,
        "largest_component": largest_component, "fill_holes": fill_holes, "minimum_size_mm3": minimum_size,
    }  # fmt: skip
    create_and_run(JobFolder(output / "job"), parse_config(ApplyConfig, values))
