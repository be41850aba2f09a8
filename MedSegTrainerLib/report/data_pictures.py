"""Pictures of the data itself: a labelled case in three planes, and training patches before and after augmentation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.case_labels import label_source, read_labels_onto
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.imaging.geometry import Geometry, resample, to_canonical
from MedSegTrainerLib.imaging.read import read_channels
from MedSegTrainerLib.report.case_arrays import CaseArrays
from MedSegTrainerLib.report.slice_pictures import BACKGROUND, INK, draw_columns
from MedSegTrainerLib.report.slice_views import case_views

DPI = 100
QUALITY = 82
PATCH_INCHES = 2.2
PAIRS_IN_A_ROW = 2


def draw_labelled(case: Case, classes: Sequence[LabelClass], ignore_label: int | None = None) -> bytes:
    """JPEG of the first channel, without and with the label map, whole slices where the labels are largest.

    A label map on another grid is drawn where it lies in the patient. Raises DataError where a file cannot be read.
    """
    channel = read_channels(case.images)[0]
    label = to_canonical(read_labels_onto(case, channel, ignore_label))
    image = to_canonical(channel)
    grid = Geometry.of(image)
    if Geometry.of(label).disagreements(grid):
        label = resample(label, grid, is_label=True)
    values = sitk.GetArrayFromImage(label)
    unlabelled = label_source(case, ignore_label).unlabelled
    values = values if unlabelled is None else np.where(values == unlabelled, 0, values)
    arrays = CaseArrays(
        prediction=values,
        reference=values,
        image=np.nan_to_num(sitk.GetArrayFromImage(image).astype(np.float32)),
        spacing_zyx=grid.spacing_zyx,
        overlapping=case.overlapping,
    )
    figure = draw_columns(arrays, case_views(arrays, whole=True), ("image", "overlay"), classes)
    return _jpeg(figure)


def draw_patches(
    before: tuple[np.ndarray, np.ndarray],
    after: tuple[np.ndarray, np.ndarray],
    spacing_zyx: Sequence[float],
    classes: Sequence[LabelClass],
    present: Mapping[int, Sequence[int]] | None = None,
) -> bytes:
    """JPEG of patches in pairs: as they are and as training sees them, with the outlines of their labels.

    before, after: images (B, z, y, x) and numbers of prepared labels (B, z, y, x); present: the classes of each
    number, without it the number itself. Each patch is cut at its slice with most labels.
    """
    present = {index: (index,) for index in range(1, len(classes) + 1)} if present is None else present
    count = len(before[0])
    columns = 2 * min(PAIRS_IN_A_ROW, count)
    rows = -(-count // PAIRS_IN_A_ROW)
    tall = before[0].shape[2] * spacing_zyx[1] / (before[0].shape[3] * spacing_zyx[2])
    figure = Figure(
        figsize=(PATCH_INCHES * columns, (PATCH_INCHES * min(tall, 2.0) + 0.3) * rows), layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for ax in axes:
        ax.set_axis_off()
    for index in range(count):
        low, high = np.percentile(before[0][index], (1, 99.5))
        for side, (images, labels) in enumerate((before, after)):
            ax = axes[2 * index + side]
            ax.set_title(f"patch {index + 1}: {('as it is', 'augmented')[side]}", color=INK, fontsize=8)
            _show_patch(ax, images[index], labels[index], (low, high), spacing_zyx, classes, present)
    return _jpeg(figure)


def _show_patch(
    ax: Axes,
    image: np.ndarray,
    label: np.ndarray,
    window: tuple[float, float],
    spacing_zyx: Sequence[float],
    classes: Sequence[LabelClass],
    present: Mapping[int, Sequence[int]],
) -> None:
    labelled = np.isin(label, [number for number, own in present.items() if own])
    place = int(np.argmax(labelled.sum(axis=(1, 2))))
    low, high = window
    aspect = spacing_zyx[1] / spacing_zyx[2]
    ax.imshow(image[place], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect)
    for index, item in enumerate(classes, start=1):
        mask = np.isin(label[place], [number for number, own in present.items() if index in own])
        if mask.any() and min(mask.shape) > 1:
            color = tuple(part / 255 for part in item.color)
            ax.contour(mask.astype(float), levels=[0.5], colors=[color], linewidths=1.2)


def _jpeg(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="jpeg", dpi=DPI, facecolor=BACKGROUND, pil_kwargs={"quality": QUALITY})
    return stream.getvalue()
