"""What the measurement of the likely Dice is made of: spoiled images, and who judges whom."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from benchmarks.spoiled_images import SPOILINGS
from benchmarks.sure import LOW, Seen, _auroc, _figures, _judged

from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.report.likely_plot import Told

SIZE = (9, 16, 21)  # z, y, x


@pytest.fixture
def pair() -> tuple[sitk.Image, sitk.Image]:
    """A bright box in a dark volume, and its label map; anisotropic and oblique."""
    array = np.random.default_rng(0).normal(100, 5, SIZE).astype(np.float32)
    array[2:7, 4:12, 5:15] += 200
    direction = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    grid = Geometry(size=SIZE[::-1], spacing=(0.8, 1.1, 2.5), direction=direction)
    return grid.place(array), grid.place((array > 200).astype(np.uint8))


@pytest.mark.parametrize("name", SPOILINGS)
def test_labels_stay_true_and_the_given_images_as_they_are(name: str, pair: tuple[sitk.Image, sitk.Image]) -> None:
    """Whatever was done to it, the image is brighter where the labels are, on one grid with them."""
    before = [sitk.GetArrayFromImage(side) for side in pair]
    image, labels = SPOILINGS[name](*pair, np.random.default_rng(3))
    assert not Geometry.of(image).disagreements(Geometry.of(labels))
    values, mask = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(labels) > 0
    assert values[mask].mean() > values[~mask].mean() + 50
    for side, array in zip(pair, before, strict=True):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(side), array)
    same = np.array_equal(values, before[0]) and not Geometry.of(image).disagreements(Geometry.of(pair[0]))
    assert same is (name == "clean")


def test_a_case_is_never_judged_by_what_it_taught() -> None:
    cases = [f"p{index}" for index in range(10)]
    seen = [
        Seen(case=case, spoiling=spoiling, name="liver", agreement=0.9, dice=index / 10, unlike=False)
        for index, case in enumerate(cases)
        for spoiling in ("clean", "noise")
    ]
    for division in range(3):
        told = _judged(seen, division)
        taught = {round(one.dice or 0, 1) for one in seen} - {item.dice for item, _ in told}
        assert len(told) == 2 * 5 and len(taught) == 5
        assert {of for _, of in told} == {"liver"} and {item.name for item, _ in told} == {"clean", "noise"}


def told(likely: float, dice: float) -> Told:
    return Told(name="clean", likely=likely, low=likely - 0.1, high=likely + 0.1, dice=dice)


def test_auroc_and_figures() -> None:
    bad, good = LOW - 0.3, LOW + 0.1
    assert _auroc([(told(0.5, bad), ""), (told(0.9, good), "")]) == 1.0
    assert _auroc([(told(0.9, bad), ""), (told(0.5, good), "")]) == 0.0
    assert _auroc([(told(0.7, bad), ""), (told(0.7, good), ""), (told(0.9, good), "")]) == 0.75
    assert _auroc([(told(0.9, good), "")]) is None
    figures = _figures([told(0.9, 0.85), told(0.9, 0.5)])
    assert figures["covered"] == 0.5 and figures["error"] == pytest.approx(0.225)
    assert set(_figures([]).values()) == {None}
