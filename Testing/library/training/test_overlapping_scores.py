"""Validation of classes that overlap, against counts of each class by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.plan import LabelCode, Plan
from MedSegTrainerLib.data.samples.cache import CachedCase
from MedSegTrainerLib.imaging.class_bits import has_class
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.losses.overlapping_loss import state_table
from MedSegTrainerLib.metrics.metrics import dice_from_counts
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.training.overlapping_scores import binary_tables, label_bits, predicted_bits
from MedSegTrainerLib.training.validation import Validator

SIZE = (4, 8, 12)  # one window
CODES = (LabelCode(present=(1, 2)), LabelCode(present=(1,), unknown=(2,)))
NAMES = ("organ", "tumor")


@pytest.fixture
def plan(tiny_plan: Plan) -> Plan:
    classes = tuple(LabelClass(value=value, name=name, color=(9, 9, value)) for value, name in enumerate(NAMES, 1))
    network = {**tiny_plan.network, "out_channels": 2}
    return replace(tiny_plan, classes=classes, overlapping=True, label_codes=CODES, network=network)


def case(numbers: list[int], unknown: tuple[int, ...] = ()) -> CachedCase:
    generator = torch.Generator().manual_seed(4)
    picked = torch.randint(len(numbers), SIZE, generator=generator)
    return CachedCase(
        name="a", image=torch.randn((1, *SIZE), generator=generator),
        label=torch.tensor(numbers, dtype=torch.int16)[picked], locations=torch.zeros((0, 4), dtype=torch.int32),
        geometry=Geometry(size=SIZE[::-1], spacing=(0.8, 1.1, 2.5)), unknown=unknown,
    )  # fmt: skip


def weights(plan: Plan) -> dict[str, torch.Tensor]:
    torch.manual_seed(6)
    return build_network(plan.architecture, plan.network).state_dict()


def logits_of(plan: Plan, one: CachedCase) -> torch.Tensor:
    network = build_network(plan.architecture, plan.network).eval()
    network.load_state_dict(weights(plan))
    with torch.no_grad():
        return network(one.image[None])[0][0]


def test_tables_are_counted_class_by_class(cpu: torch.device) -> None:
    one = case([-1, 0, 1, 2, 3, 4])
    logits = torch.randn((2, *SIZE), generator=torch.Generator().manual_seed(1))
    states = {-1: (-1, -1), 0: (0, 0), 1: (1, 0), 2: (0, 1), 3: (1, 1), 4: (1, -1)}
    for index, table in enumerate(binary_tables(logits, one.label, state_table(CODES, 2, cpu))):
        state = np.vectorize(lambda number, index=index: states[int(number)][index])(one.label.numpy())
        predicted = logits[index].numpy() > 0
        assert table == [[int(((state == row) & (predicted == column)).sum()) for column in (0, 1)] for row in (0, 1)]


def test_labels_and_predictions_as_bits(plan: Plan) -> None:
    label = torch.tensor([[[-1, 0, 1, 2, 3, 4]]], dtype=torch.int16)
    assert label_bits(label, plan).tolist() == [[[-1, 0, 0b1, 0b10, 0b11, 0b1]]]
    logits = torch.tensor([[[[-1.0, 2.0, 3.0]]], [[[1.0, 0.5, -0.1]]]])
    assert predicted_bits(logits).tolist() == [[[0b10, 0b11, 0b1]]]


def test_scores_are_those_of_each_class_alone(plan: Plan, cpu: torch.device) -> None:
    one = case([-1, 0, 1, 2, 3])
    bits, predicted = label_bits(one.label, plan).numpy(), predicted_bits(logits_of(plan, one)).numpy()
    scores = Validator([one], plan, cpu).score(weights(plan))
    known = bits >= 0
    for value, name in enumerate(NAMES, start=1):
        there, found = has_class(bits, value), has_class(predicted, value) & known
        expected = dice_from_counts(float((there & found).sum()), float(found.sum()), float(there.sum()))
        assert scores.per_case["a"][name] == pytest.approx(expected)
    right = [(has_class(bits, value) == has_class(predicted, value))[known].mean() for value in (1, 2)]
    assert scores.metrics["val_accuracy"] == pytest.approx(np.mean(right))
    assert scores.metrics["val_loss"] is not None
    assert len(np.unique(predicted)) > 2


def test_an_unknown_class_has_no_score(plan: Plan, cpu: torch.device) -> None:
    scores = Validator([case([4], unknown=(2,))], plan, cpu).score(weights(plan))
    assert scores.per_case["a"]["tumor"] is None and scores.per_class["tumor"] is None
    assert scores.mean == scores.per_case["a"]["organ"]


def test_the_preview_shows_both(plan: Plan, cpu: torch.device) -> None:
    one = case([0, 1, 3])
    preview = Validator([one], plan, cpu).score(weights(plan)).preview
    assert preview is not None and preview.overlapping
    assert set(np.unique(preview.reference)) == {0, 0b1, 0b11}
    assert (preview.prediction == predicted_bits(logits_of(plan, one)).numpy()).all()
