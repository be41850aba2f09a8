"""Rows for new classes: what a logistic regression finds in maps, and what stays as it is."""

from __future__ import annotations

import pytest
import torch

from MedSegTrainerLib.model.origins import Origins
from MedSegTrainerLib.training.fitted_rows import FEWEST, SeenVoxels, fitted_row, offsets_of_known, with_rows

SIZE = (2, 3, 6, 5, 7)  # (B, maps, z, y, x)


def maps_and_labels() -> tuple[torch.Tensor, torch.Tensor]:
    """The class 3 is where the second map is above 1; 4 is a number with which nobody knows, 1 another class."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(SIZE, generator=generator) * torch.tensor([5.0, 1.0, 0.1]).view(1, 3, 1, 1, 1) + 2
    labels = torch.where(maps[:, 1] > 3, 3, 0)
    labels[0, 0], labels[0, 1] = 4, -1
    labels[1, 2, 0] = 1
    return maps, labels


def seen(offset: float = 0.0) -> SeenVoxels:
    maps, labels = maps_and_labels()
    voxels = SeenVoxels()
    voxels.add(maps, torch.full(labels.shape, offset), labels, [3], [4])
    return voxels


class TestFittedRow:
    def test_it_tells_the_class_from_all_else(self) -> None:
        row = fitted_row(seen())
        assert row is not None and row.dtype == torch.float64
        maps, labels = maps_and_labels()
        logits = torch.einsum("bm...,m->b...", maps.double(), row[:-1]) + row[-1]
        known = (labels >= 0) & (labels != 4)
        right = (logits > 0) == (labels == 3)
        assert right[known].double().mean() > 0.97
        assert row[1] > 10 * row[0].abs()

    def test_the_offset_of_the_known_classes_is_made_up_for(self) -> None:
        """Where these are likelier by 3 everywhere, the bias is higher by 3."""
        plain, lifted = fitted_row(seen()), fitted_row(seen(-3.0))
        assert plain is not None and lifted is not None
        torch.testing.assert_close(lifted - plain, torch.tensor([0.0, 0, 0, 3], dtype=torch.float64), atol=0.05, rtol=0)

    def test_what_nobody_knows_or_labelled_does_not_count(self) -> None:
        labels = maps_and_labels()[1]
        taken = sum(map(len, seen().maps))
        assert taken == int(((labels >= 0) & (labels != 4)).sum())

    def test_many_voxels_are_thinned_out_and_count_for_those_left_out(self) -> None:
        maps, labels = torch.zeros((1, 2, 60, 20, 10)), torch.zeros((1, 60, 20, 10), dtype=torch.int64)
        labels[0, 0, 0] = 1
        voxels = SeenVoxels()
        voxels.add(maps, torch.zeros(labels.shape), labels, [1], [])
        there, elsewhere = voxels.counts
        assert there.tolist() == [1.0] * 10
        assert len(elsewhere) == 3997 and set(elsewhere.tolist()) == {3.0}  # of 11990

    def test_too_few_voxels_fit_nothing(self) -> None:
        maps, labels = maps_and_labels()
        labels[labels == 3] = 0
        labels.flatten()[-FEWEST + 1 :] = 3
        voxels = SeenVoxels()
        voxels.add(maps, torch.zeros(labels.shape), labels, [3], [4])
        assert fitted_row(voxels) is None
        assert fitted_row(SeenVoxels()) is None


class TestOffsets:
    def test_of_a_softmax(self) -> None:
        """The new class (the second of three) has no part in it."""
        logits = torch.tensor([1.0, 2.0, 9.0, 0.5]).view(1, 4, 1, 1)
        origins = Origins(classes=((1,), (), (2,)), channels=(0,))
        expected = 1 - torch.tensor([1.0, 2.0, 0.5]).logsumexp(0)
        assert float(offsets_of_known(logits, origins, overlapping=False)) == pytest.approx(float(expected))

    def test_of_sigmoids_there_is_none(self) -> None:
        origins = Origins(classes=((1,), ()), channels=(0,))
        assert not offsets_of_known(torch.ones((2, 2, 3, 4, 5)), origins, overlapping=True).any()


WEIGHTS = {"last.weight": torch.arange(8.0).view(4, 2, 1, 1, 1), "last.bias": torch.arange(4.0), "first": torch.ones(2)}
ROW = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64)


class TestWithRows:
    def test_it_stands_on_the_row_of_the_background(self) -> None:
        weights = {**WEIGHTS, "last.bias": torch.arange(4.0) + 1}
        made = with_rows(weights, {"last": {1: ROW, 0: None}}, overlapping=False)
        assert made["last.weight"].flatten(1).tolist() == [[0, 1], [2, 3], [10, 21], [6, 7]]
        assert made["last.bias"].tolist() == [1, 2, 31, 4]
        assert weights["last.bias"].tolist() == [1, 2, 3, 4]

    def test_of_sigmoids_it_stands_alone(self) -> None:
        made = with_rows(WEIGHTS, {"last": {1: ROW}}, overlapping=True)
        assert made["last.weight"].flatten(1).tolist() == [[0, 1], [10, 20], [4, 5], [6, 7]]
        assert made["last.bias"].tolist() == [0, 30, 2, 3]
