"""The command that segments images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MedSegTrainerLib.cli_options import Device
from MedSegTrainerLib.commands.running import create_and_run
from MedSegTrainerLib.config import ApplyConfig
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.validation import parse_config


def apply(
    model: Annotated[Path, typer.Argument(help="A model folder, its zip, or the job that trained it.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Images, or folders of images.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the label maps.")],
    more_models: Annotated[
        list[Path] | None,
        typer.Option("--model", metavar="MODEL", help="Average with this model too; may be repeated."),
    ] = None,
    tta: Annotated[bool, typer.Option("--tta", help="Average over mirrorings: a little better, slower.")] = False,
    transforms: Annotated[
        list[str] | None,
        typer.Option(
            "--tta-transform",
            metavar="NAME",
            help="Average over this one: flip_x, flip_y, flip_z, rotate90, rotate180, rotate270; may be repeated.",
        ),
    ] = None,
    device: Device = "auto",
    output_format: Annotated[
        str,
        typer.Option(
            "--format", metavar="TYPE", help="seg.nrrd (keeps names and colours), nii.gz, mha, npy, or png (2D)."
        ),
    ] = "seg.nrrd",
    overlap: Annotated[
        float,
        typer.Option(metavar="SHARE", help="How far neighbouring windows overlap, 0 to 0.9: more is slower, smoother."),
    ] = 0.5,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write how likely each class is at each voxel, a file a class.")
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Write how unsure the result is, and how far mirrorings and models differ."),
    ] = False,
    no_postprocess: Annotated[
        bool, typer.Option("--no-postprocess", help="Without the clean-up that helped when the model was trained.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make label maps again that 'apply' made; without it the same are kept.")
    ] = False,
    largest_component: Annotated[
        bool, typer.Option("--largest-component", help="Keep the largest connected piece of each class only.")
    ] = False,
    fill_holes: Annotated[
        bool, typer.Option("--fill-holes", help="Fill background that is enclosed on all sides.")
    ] = False,
    minimum_size: Annotated[float, typer.Option(metavar="MM3", help="Remove pieces smaller than this, in mm3.")] = 0.0,
) -> None:
    """Segment images with a trained model.

    Each label map lies on exactly the grid of its image and is named after it.
    """
    for path in (model, *(more_models or []), *inputs):
        if not path.exists():
            raise UsageError(f"{path} does not exist. Check the path.")
    values = {
        "model": str(model.resolve()), "models": [str(path.resolve()) for path in more_models or []],
        "probabilities": probabilities, "uncertainty": uncertainty, "postprocess": not no_postprocess,
        "overwrite": overwrite, "tta_transforms": transforms or "auto",
        "inputs": [str(path.resolve()) for path in inputs],
        "output_dir": str(output.resolve()), "output_format": output_format,
        "tta": tta or bool(transforms), "device": device, "overlap": overlap, "largest_component": largest_component,
        "fill_holes": fill_holes, "minimum_size_mm3": minimum_size,
    }  # fmt: skip
    create_and_run(JobFolder(output / "job"), parse_config(ApplyConfig, values))
