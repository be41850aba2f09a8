"""The document of ``suggestions.json`` as one HTML page with a picture of each slice inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.report.case_arrays import CaseArrays
from MedSegTrainerLib.report.data_page import capitalize_first
from MedSegTrainerLib.report.evaluation_page import FOLDER, fill
from MedSegTrainerLib.report.formatting import hex_color
from MedSegTrainerLib.report.slice_pictures import BACKGROUND, draw_columns
from MedSegTrainerLib.report.slice_views import PLANES, WHOLE, cut

TEMPLATE = FOLDER / "suggestions.html.j2"
DPI, QUALITY = 110, 82


def render_suggestions(
    document: Mapping[str, Any], pictures: Sequence[bytes | None], classes: Sequence[LabelClass]
) -> str:
    """The page as text. pictures: a JPEG of each suggestion, None where its image could not be read again."""
    return fill(
        TEMPLATE,
        {"capitalize_first": capitalize_first},
        document=document,
        cards=[
            {**item, "picture": base64.b64encode(picture).decode() if picture else ""}
            for item, picture in zip(document["suggestions"], pictures, strict=True)
        ],
        legend=[(item.name, hex_color(item)) for item in classes],
    )


def draw_suggestion(case: CaseArrays, axis: str, index: int, classes: Sequence[LabelClass]) -> bytes:
    """JPEG of a whole slice: the outline of the prediction over the image, without and with the uncertainty in colours.

    axis: of the patient across the slice. index: of the slice in the arrays of the case.
    """
    plane = PLANES["zyx".index(axis)]
    figure = draw_columns(case, [cut(case, plane, index, WHOLE)], ("outline", "unsure"), classes)
    stream = io.BytesIO()
    options = {"quality": QUALITY, "subsampling": 0}  # lines keep their colours
    figure.savefig(stream, format="jpeg", dpi=DPI, facecolor=BACKGROUND, pil_kwargs=options)
    return stream.getvalue()
