"""The command that says which slices should be drawn next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MedSegTrainerLib.cli.apply import Images, MoreModels, TrainedModel
from MedSegTrainerLib.cli.options import Device
from MedSegTrainerLib.cli.shared import create_and_run
from MedSegTrainerLib.config.job_settings import SuggestConfig
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.rankings import ranking_names
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.job import JobFolder

Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for suggestions, predictions and uncertainty.")
]
Count = Annotated[int, typer.Option(metavar="N", help="How many slices to suggest.")]
RankingName = Annotated[str, typer.Option("--ranking", metavar="NAME", help=f"How to choose. {ranking_names()}.")]
SliceAxis = Annotated[
    str, typer.Option("--slice-axis", metavar="AXIS", help="Axis of the patient across the slices: x, y, z or auto.")
]
Drawn = Annotated[
    Path | None,
    typer.Option(
        "--drawn",
        metavar="FILE",
        help='JSON file of slices that are drawn already: {"NAME": {"axis": "z", "slices": [12, 40]}}, counted from 0.',
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Every random draw follows from this number.")]


def suggest(
    model: TrainedModel,
    inputs: Images,
    output: Output,
    more_models: MoreModels = None,
    count: Count = SuggestConfig.count,
    ranking: RankingName = SuggestConfig.ranking,
    slice_axis: SliceAxis = SuggestConfig.slice_axis,
    drawn: Drawn = None,
    seed: Seed = SuggestConfig.seed,
    device: Device = "auto",
) -> None:
    """Say which slices of which images to draw next.

    Writes suggestions.json and a page with pictures, and the prediction and the uncertainty of each image.
    """
    for path in (model, *(more_models or []), *inputs, *([drawn] if drawn else [])):
        if not path.exists():
            raise UsageError(f"{path} does not exist. Check the path.")
    values = {
        "model": str(model.resolve()), "models": [str(path.resolve()) for path in more_models or []],
        "inputs": [str(path.resolve()) for path in inputs], "output_dir": str(output.resolve()),
        "count": count, "ranking": ranking, "slice_axis": slice_axis, "seed": seed, "device": device,
        "drawn": read_json_file(drawn) if drawn else {},
    }  # fmt: skip
    create_and_run(JobFolder(output / "job"), parse_config(SuggestConfig, values))
