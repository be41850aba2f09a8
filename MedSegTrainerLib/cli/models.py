"""Commands about a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MedSegTrainerLib.cli.shared import console
from MedSegTrainerLib.files.plain_text import plain


def card(
    model: Annotated[Path, typer.Argument(help="A model folder, also of nnU-Net, its zip, or the job that made it.")],
) -> None:
    """Say what a model finds, in which images, how good it is and how it was made."""
    from MedSegTrainerLib.model.package import read_card

    console.print(plain(read_card(model)), highlight=False, markup=False)


def import_model(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="An nnU-Net model: its folder, that of its data set or of a fold, or a zip. Or a model.pt of MONAI's "
            "Auto3DSeg (SegResNet).",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="New folder of the model.")],
) -> None:
    """Make a model of another program one of this program.

    What it says is read as data and nothing of it is run. Every command that takes a model also takes an nnU-Net model
    as it is; the new folder is smaller, opens faster, and can be given to others.
    """
    from MedSegTrainerLib.model.import_model import import_model as import_other_model
    from MedSegTrainerLib.model.package import read_card

    members = import_other_model(source, output)
    console.print(plain(read_card(output)), highlight=False, markup=False)
    count = f"an ensemble of {len(members)} folds" if len(members) > 1 else "a model"
    console.print(f"{output} holds {count}.", highlight=False, markup=False)


def export(
    model: Annotated[Path, typer.Argument(help="A model folder, also of nnU-Net, its zip, or the job that made it.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="New file; monai-bundle, nnunet: new folder.")
    ],
    form: Annotated[
        str, typer.Option("--format", metavar="TYPE", help="onnx, torchscript, torch-export, monai-bundle or nnunet.")
    ] = "onnx",
) -> None:
    """Write a model as a file for other programs.

    The file is the network: prepared patches go in, logits come out. A MONAI bundle also prepares the images and
    writes the label maps, with MONAI alone; a folder in nnU-Net's form does so with nnU-Net. Of an ensemble the file is
    all networks and their mean, and the folder has a fold for each. Each is compared
    with the original, and kept where they agree.
    """
    from MedSegTrainerLib.export.formats import export as export_model
    from MedSegTrainerLib.export.tracing import TOLERANCE

    slow = " A transformer such as SwinUNETR takes minutes." if form == "onnx" else ""
    console.print(f"Writing and comparing {output} ...{slow}", highlight=False, markup=False)
    exported = export_model(model, output, form)
    sizes = "any size that is a multiple of the model's divisor" if exported.is_dynamic else "patches of one size"
    first = f"{exported.path} is run by: {exported.usage}\n" if exported.usage else f"{exported.path} takes {sizes}. "
    message = f"{first}Largest difference of a logit: {exported.difference:.1g} ({TOLERANCE:g} is allowed)."
    console.print(message, highlight=False, markup=False)
