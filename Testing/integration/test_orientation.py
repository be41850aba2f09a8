"""The same volume stored otherwise gets the same segmentation: axes exchanged, mirrored, and tilted grids."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.imaging.geometry import Geometry, resample
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.package import ModelPackage, load_package
from MedSegTrainerLib.networks import build_network

LIVER, CYST = 2, 5  # label values of the data set
ORDERS = list(itertools.permutations(range(3)))
MIRRORINGS = list(itertools.product((False, True), repeat=3))
TILT = (14.0, -11.0, 17.0)  # degrees around x, y and z


def stored_otherwise(image: sitk.Image, order: tuple[int, ...], mirrored: tuple[bool, ...]) -> sitk.Image:
    """The volume with its array axes (z, y, x) reordered, then mirrored, under a header that says so.

    Worked out from the affine matrix alone, so that no function of the library or of ITK is on both sides.
    """
    array = sitk.GetArrayFromImage(image).transpose(order)
    axes = [2 - axis for axis in reversed(order)]  # of the old x, y, z, what the new x, y, z are
    direction = np.array(image.GetDirection()).reshape(3, 3)[:, axes]
    spacing = np.array(image.GetSpacing())[axes]
    size = np.array(image.GetSize())[axes]
    origin = np.array(image.GetOrigin())
    for axis in range(3):
        if mirrored[axis]:
            origin = origin + direction[:, axis] * spacing[axis] * (size[axis] - 1)
            direction[:, axis] *= -1
            array = np.flip(array, 2 - axis)
    turned = sitk.GetImageFromArray(np.ascontiguousarray(array))
    turned.SetSpacing(spacing.tolist())
    turned.SetOrigin(origin.tolist())
    turned.SetDirection(direction.ravel().tolist())
    return turned


def brought_back(labels: sitk.Image, order: tuple[int, ...], mirrored: tuple[bool, ...]) -> np.ndarray:
    """The array of a label map in the axes the volume had before ``stored_otherwise``."""
    array = sitk.GetArrayFromImage(labels)
    array = np.flip(array, [2 - axis for axis in range(3) if mirrored[axis]])
    return array.transpose(np.argsort(order))


def dice(one: np.ndarray, other: np.ndarray, value: int) -> float:
    both = np.logical_and(one == value, other == value).sum()
    return float(2 * both / ((one == value).sum() + (other == value).sum()))


def center_mm(labels: sitk.Image, value: int) -> np.ndarray:
    """Centroid of a structure in LPS mm."""
    index = np.argwhere(sitk.GetArrayViewFromImage(labels) == value).mean(axis=0)[::-1]
    return np.array(labels.TransformContinuousIndexToPhysicalPoint(index.tolist()))


Patient = Callable[..., tuple[sitk.Image, sitk.Image]]


@pytest.fixture(scope="module")
def learned(trained: JobFolder) -> Predictor:
    """The model that was trained for some seconds."""
    return Predictor(load_package(trained.model), torch.device("cpu"))


@pytest.fixture(scope="module")
def thresholds(trained: JobFolder) -> Predictor:
    """A model made by hand that tells classes by intensity alone: what is left to differ is geometry.

    Its two feature maps are leaky ReLUs of the image and of its negative; their difference is the image
    x = (HU - 30) / 200, and the logits are 0, 8 x and 16 x - 8: liver above 30 HU, cyst above 230 HU.
    """
    network = {
        "dims": 3, "in_channels": 1, "out_channels": 3, "features": [2], "strides": [[1, 1, 1]],
        "kernels": [[1, 1, 1]], "blocks": [1], "deep_supervision": False,
    }  # fmt: skip
    fresh = build_network("PlannedUNet", network).state_dict()
    weights = {name: torch.zeros_like(value) for name, value in fresh.items()}
    sides = torch.tensor([1.0, -1.0])
    weights["encoder.0.0.shortcut.0.weight"][:, 0, 0, 0, 0] = sides
    weights["heads.0.weight"][1, :, 0, 0, 0] = 8 * sides / 1.01
    weights["heads.0.weight"][2, :, 0, 0, 0] = 16 * sides / 1.01
    weights["heads.0.bias"][2] = -8.0
    plan = load_package(trained.model).plan.to_json() | {
        "network": network, "spacing": [1.5, 1.4, 1.3], "patch_size": [24, 28, 32], "divisor": [1, 1, 1],
        "normalization": [{"method": "ct", "low": -100.0, "high": 400.0, "mean": 30.0, "std": 200.0}],
    }  # fmt: skip
    return Predictor(ModelPackage(plan=parse_plan(plan), weights=weights), torch.device("cpu"))


@pytest.fixture(scope="module")
def volume(patient: Patient) -> sitk.Image:
    """A patient the model has not seen, on a tilted grid that is not that of the network."""
    return patient(91, (6, -4, 8), (29, 27, 20), (1.4, 1.6, 2.2))[0]


@pytest.fixture(scope="module")
def plain(learned: Predictor, volume: sitk.Image) -> np.ndarray:
    """The learned model's labels of the volume as it is."""
    return sitk.GetArrayFromImage(learned.predict([volume]))


class TestStoredOtherwise:
    """All that changes is the order of the voxels in the file, so every voxel must get the same label."""

    @pytest.mark.parametrize(
        ("order", "mirrored"),
        [(order, MIRRORINGS[(5 * index + 3) % 8]) for index, order in enumerate(ORDERS)]
        + [((0, 1, 2), (True, False, False)), ((0, 1, 2), (True, True, True)), ((2, 1, 0), (False, False, False))],
    )
    def test_the_learned_model(
        self,
        learned: Predictor,
        volume: sitk.Image,
        plain: np.ndarray,
        order: tuple[int, ...],
        mirrored: tuple[bool, ...],
    ) -> None:
        assert len(np.unique(plain)) == 3
        turned = stored_otherwise(volume, order, mirrored)
        found = learned.predict([turned])
        assert Geometry.of(found) == Geometry.of(turned)
        assert int((brought_back(found, order, mirrored) != plain).sum()) == 0

    def test_all_48_by_hand_made_thresholds(self, thresholds: Predictor, volume: sitk.Image) -> None:
        plain = sitk.GetArrayFromImage(thresholds.predict([volume]))
        differing = {}
        for order, mirrored in itertools.product(ORDERS, MIRRORINGS):
            found = thresholds.predict([stored_otherwise(volume, order, mirrored)])
            differing[order, mirrored] = int((brought_back(found, order, mirrored) != plain).sum())
        assert len(differing) == 48
        assert {key: count for key, count in differing.items() if count} == {}


def onto_grid(labels: sitk.Image, grid: Geometry) -> sitk.Image:
    """Labels on another grid, each class interpolated linearly: the nearest voxel alone would cost 1 % of Dice."""
    values = sitk.Cast(labels, sitk.sitkUInt8)
    return sitk.Resample(
        values, grid.size, sitk.Transform(), sitk.sitkLabelLinear, grid.origin, grid.spacing, grid.direction
    )  # fmt: skip


def agreement(one: sitk.Image, other: sitk.Image, value: int) -> float:
    return dice(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(other), value)


class TestTiltedGrid:
    """Resampled to a finer grid that lies askew, and the labels brought back onto the grid of the first."""

    def test_geometry_alone_agrees_to_99_percent(self, thresholds: Predictor, patient: Patient) -> None:
        """The true labels of both grids agree hardly better: what is missing to 1 is the size of the voxels."""
        image, label = patient(17, (0, 0, 0), (95, 86, 76), (1.0, 1.1, 1.25), scale=2.4, noise=0)
        askew, askew_label = patient(17, TILT, (200, 200, 200), (0.5, 0.5, 0.5), scale=2.4)
        grid = Geometry.of(image)
        first = thresholds.predict([image])
        second = onto_grid(thresholds.predict([resample(image, Geometry.of(askew), is_label=False)]), grid)
        truth = onto_grid(askew_label, grid)
        for value in (LIVER, CYST):
            assert agreement(first, second, value) >= 0.99
            assert agreement(first, second, value) >= agreement(label, truth, value) - 0.004
            np.testing.assert_allclose(center_mm(first, value), center_mm(second, value), atol=0.1)

    def test_the_learned_model(self, learned: Predictor, patient: Patient) -> None:
        """A network trained for seconds sees other voxels on a tilted grid, and its borders move a little."""
        image, label = patient(17, (0, 0, 0), (60, 52, 44), (0.75, 0.875, 1.0), noise=0)
        askew, _ = patient(17, TILT, (70, 64, 60), (0.7, 0.75, 0.8))
        first = learned.predict([image])
        found = learned.predict([resample(image, Geometry.of(askew), is_label=False)])
        assert Geometry.of(found) == Geometry.of(askew)
        second = onto_grid(found, Geometry.of(image))
        for value in (LIVER, CYST):
            assert agreement(first, label, value) > 0.85  # else the model had learned nothing to agree on
            assert agreement(first, second, value) > 0.92
            np.testing.assert_allclose(center_mm(first, value), center_mm(second, value), atol=0.6)
