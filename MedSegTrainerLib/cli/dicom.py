"""The command that makes DICOM of label files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from MedSegTrainerLib.cli.shared import console
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.files.plain_text import plain


def to_dicom(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="A label file: .seg.nrrd, NIfTI, ...")],
    series: Annotated[Path, typer.Argument(metavar="SERIES", help="The folder of the DICOM series it was drawn on.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="New .dcm file.")],
    algorithm: Annotated[
        str, typer.Option(metavar="NAME", help="The model that made the segments; without it somebody drew them.")
    ] = "",
    corrected: Annotated[bool, typer.Option("--corrected", help="Somebody corrected what the model made.")] = False,
    labelmap: Annotated[
        bool, typer.Option("--labelmap", help="As a label map, which fewer programs read, in place of binary frames.")
    ] = False,
) -> None:
    """Write labels as a DICOM segmentation (SEG) that refers to the series they were drawn on.

    Names, colours and codes of the segments come along. 'apply --format dicom-seg' writes results so at once.
    """
    from MedSegTrainerLib.export.dicom_segmentation import write_segmentation
    from MedSegTrainerLib.imaging.write_dicom_seg import BY_HAND, Maker

    if corrected and not algorithm:
        raise UsageError("--corrected needs the name of the model whose result was corrected: --algorithm NAME.")
    made = Maker(name=algorithm, way="SEMIAUTOMATIC" if corrected else "AUTOMATIC") if algorithm else BY_HAND
    classes = write_segmentation(labels, series, output, made, kind="LABELMAP" if labelmap else "BINARY")
    names = ", ".join(item.name for item in classes)
    console.print(plain(f"{output} has {len(classes)} segments: {names}"), highlight=False, markup=False)
