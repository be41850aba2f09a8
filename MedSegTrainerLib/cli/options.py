"""Arguments and options that several commands take, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MedSegTrainerLib.config.settings import MOST_DEVICES
from MedSegTrainerLib.workflow.nodes import NETWORKS

DATA_HELP = (
    "Folder with labelled volumes or 2D images: images/ and labels/ (or masks/) with equal file names, image_0001.png "
    "beside mask_0001.png, a folder for each case with a label map or a folder of masks, a Medical Segmentation "
    "Decathlon folder with dataset.json, or nnU-Net's imagesTr/ and labelsTr/."
)
Data = Annotated[Path, typer.Argument(help=DATA_HELP)]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1 (the second GPU), mps (Apple).")
]
Devices = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=MOST_DEVICES,
        help="GPUs of this machine (or processes on its CPU) that train together.  [default: 1]",
    ),
]
FoldsAtOnce = Annotated[
    str | None,
    typer.Option(
        "--devices",
        metavar="N",
        help="Folds that train at the same time: each on a GPU of its own, or on its share of the CPU's cores; auto: "
        "as many as there are GPUs.  [default: 1]",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="JSON file with settings: in sections (data, network, loss, optimizer, trainer), bare, or a workflow.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any one setting, e.g. learning_rate=0.001. May be repeated."),
]
Budget = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Time for everything, report included: 90s, 20m, 1h30m.  [default: 20m]"),
]
Epochs = Annotated[
    int | None, typer.Option(metavar="N", help="Train so many passes over the data, instead of a time budget.")
]
Fold = Annotated[
    int | None, typer.Option(metavar="N", help="Cross-validation: hold out this part of the cases, counted from 0.")
]
Folds = Annotated[int | None, typer.Option(metavar="N", help="Number of parts that --fold counts in.  [default: 5]")]
ValSplit = Annotated[
    float | None, typer.Option(metavar="SHARE", help="Share of the cases to hold out for validation.  [default: 0.15]")
]
SplitFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON file with the names of the cases, in two lists 'train' and 'val'."),
]
Model = Annotated[str | None, typer.Option(metavar="NAME", help=f"Network: auto, {', '.join(NETWORKS)}.")]
StartModel = Annotated[
    Path | None,
    typer.Option(
        "--start-from",
        metavar="MODEL",
        help="Begin as a trained model: a job, a model folder or its zip, or a fold of a cross-validation.",
    ),
]
Rename = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OLD=NEW",
        help="A class of that model under its new name; two that become one are joined, one that becomes two is "
        "divided. May be repeated.",
    ),
]
Adapt = Annotated[
    bool, typer.Option("--adapt", help="Go on with what can be kept where that model does not fit the data.")
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Folder shared by jobs, where prepared cases are found again by the content of their files.",
    ),
]
NewJob = Annotated[Path, typer.Option("-o", "--output", metavar="JOB", help="New folder for model, curves and report.")]
Job = Annotated[Path, typer.Argument(help="Job folder: the -o of train, or the folder 'job' in the -o of apply.")]
