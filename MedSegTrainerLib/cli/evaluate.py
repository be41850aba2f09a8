"""Commands that measure and compare results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MedSegTrainerLib.cli.shared import console, create_and_run
from MedSegTrainerLib.config.job_settings import EvaluateConfig
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.job import JobFolder


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.")],
    labels: Annotated[
        Path, typer.Argument(help="Folder of reference label maps with the same names, or the data set.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for report and tables.")],
    tolerance: Annotated[
        float, typer.Option(metavar="MM", help="Distance that surface Dice still takes as right.")
    ] = 1.0,
    uncertainty: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Maps of how unsure the model was.  [default: PREDICTIONS/uncertainty]"),
    ] = None,
    ignore_label: Annotated[
        int | None, typer.Option(metavar="VALUE", help="References' value of voxels that do not count.")
    ] = None,
    labelled_slices: Annotated[
        str,
        typer.Option(
            metavar="AXIS",
            help="auto, x, y or z: of references only slices along it with something in them are labelled.",
        ),
    ] = "none",
    drawn: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON of the classes that were drawn in each reference.  [default: drawn.json beside them]",
        ),
    ] = None,
) -> None:
    """Compare label maps with references.

    Files of equal names are compared: Dice, distances in mm, a report with pictures, tables as CSV and JSON. Segments
    of .seg.nrrd files are matched by their names.
    """
    for path in (predictions, labels, *(path for path in (uncertainty, drawn) if path)):
        if not path.exists():
            raise UsageError(f"{path} does not exist. Check the path.")
    values = {
        "predictions": str(predictions.resolve()),
        "labels": str(labels.resolve()),
        "output_dir": str(output.resolve()),
        "surface_tolerance_mm": tolerance,
        "ignore_label": ignore_label,
        "labelled_slices": labelled_slices,
        "drawn_file": str(drawn.resolve()) if drawn else "",
        "uncertainty": str(uncertainty.resolve()) if uncertainty else "",
    }
    create_and_run(JobFolder(output / "job"), parse_config(EvaluateConfig, values))


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="An evaluation (its folder or metrics.json), or a job.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one, of the same cases.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for report and tables.")],
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Compare this number, such as dice; may be repeated.")
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**53, help="Of the bootstrap: the same gives the same intervals.")
    ] = 0,
) -> None:
    """Say whether B is better than A, case by case.

    Paired by case and class: Wilcoxon and t test, effect sizes, intervals of the mean difference, and which cases got
    better and worse; a report with plots, tables as CSV and JSON. Without --metric every number is compared.
    """
    from MedSegTrainerLib.cli.console import show_comparison
    from MedSegTrainerLib.evaluation.compare import (
        compare as compare_evaluations,  # scipy takes a second, --help must not
    )

    show_comparison(compare_evaluations(first, second, output, metrics=metric or (), seed=seed), console)
    console.print(f"Report: {output / 'compare.html'}", highlight=False, markup=False)
