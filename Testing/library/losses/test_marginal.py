"""Losses where nobody looked for some classes, against the formulas worked out voxel by voxel in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.config.plan import LabelCode
from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.losses.marginal import merge_unknown, unknown_tables
from MedSegTrainerLib.losses.segmentation_loss import SegmentationLoss, build_loss

CPU = torch.device("cpu")
CLASSES = 5  # with the background
CODES = (LabelCode(unknown=(2,)), LabelCode(unknown=(1, 2, 4)), LabelCode(unknown=(3, 4)))
SPACING = (2.5, 1.1, 0.8)
SMOOTH, GAMMA = 0.3, 1.5
ALPHA, WEIGHTS = [0.2, 0.5, 1.0, 1.5, 0.7], [0.1, 1.0, 2.0, 3.0, 0.5]
SETTINGS = {"smooth": SMOOTH, "gamma": GAMMA, "alpha": ALPHA}
CONFIGS = {
    "dice": LossConfig(loss_type="dice", **SETTINGS),
    "cross-entropy": LossConfig(loss_type="cross_entropy", **SETTINGS),
    "class weights": LossConfig(loss_type="cross_entropy", class_weights=WEIGHTS, **SETTINGS),
    "focal": LossConfig(loss_type="focal", **SETTINGS),
    "boundary": LossConfig(loss_type="combined", dice_weight=0.2, boundary_weight=0.8, **SETTINGS),
    "combined": LossConfig(
        loss_type="combined", dice_weight=0.4, ce_weight=0.3, focal_weight=0.2, boundary_weight=0.1,
        class_weights=WEIGHTS, **SETTINGS,
    ),
}  # fmt: skip


def sample_labels(known: Sequence[int], free: int, generator: torch.Generator, size: Sequence[int]) -> torch.Tensor:
    """Numbers of a prepared label: classes that were looked for, the number of voxels left free, and -1."""
    numbers = torch.tensor([-1, free, free, free, *known], dtype=torch.int16)
    return numbers[torch.randint(len(numbers), tuple(size), generator=generator)]


def logits_and_target(size: Sequence[int] = (3, 5, 4)) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples in which no class, one, three and two are unknown, and one put together of two cases, as by CutMix."""
    generator = torch.Generator().manual_seed(5)
    parts = ([1, 3], 5), ([1, 2], 7)
    target = torch.stack([
        sample_labels([1, 2, 3, 4], 0, generator, size),
        sample_labels([1, 3, 4], 5, generator, size),
        sample_labels([3], 6, generator, size),
        sample_labels([1, 2], 7, generator, size),
        torch.stack([sample_labels(*parts[z % 2], generator, size[1:]) for z in range(size[0])]),
    ])  # fmt: skip
    return 2 * torch.randn((5, CLASSES, *size), generator=generator, dtype=torch.float64), target


def loss_of(config: LossConfig, codes: Sequence[LabelCode] = CODES, ramp: float = 0.5) -> SegmentationLoss:
    """At half of the training the boundary term has its weight."""
    loss = build_loss(config, CLASSES, CPU, SPACING, codes)
    loss.ramp = ramp
    return loss


def by_hand(config: LossConfig, logits: torch.Tensor, target: torch.Tensor) -> float:
    samples = zip(logits.numpy(), target.numpy(), strict=True)
    return float(np.mean([sample_by_hand(config, *sample) for sample in samples]))


def sample_by_hand(config: LossConfig, logits: np.ndarray, target: np.ndarray) -> float:
    """logits (C, z, y, x). Shi et al. 2021, section 3.1: unknown classes and background are one class in each voxel."""
    places = [place for place in np.ndindex(target.shape) if target[place] >= 0]
    sets = {place: set(CODES[target[place] - CLASSES].unknown) for place in places if target[place] >= CLASSES}
    truth = {place: 0 if place in sets else int(target[place]) for place in places}
    p: dict[tuple[int, ...], list[float]] = {}
    for place in places:
        exps = [math.exp(value) for value in logits[(slice(None), *place)]]
        shares = [value / sum(exps) for value in exps]
        merged = sets.get(place, set())
        p[place] = [0.0 if k in merged else shares[k] for k in range(CLASSES)]
        p[place][0] = shares[0] + sum(shares[k] for k in merged)
    known = [k for k in range(1, CLASSES) if not any(k in merged for merged in sets.values())]
    terms = {
        "dice": dice_by_hand(p, truth, known),
        "cross_entropy": entropy_by_hand(p, truth, config.class_weights or [1.0] * CLASSES),
        "focal": sum(-ALPHA[k] * (1 - p[at][k]) ** GAMMA * math.log(p[at][k]) for at, k in truth.items()) / len(truth),
        "boundary": boundary_by_hand(p, truth, known),
    }
    return sum(weight * terms[name] for name, weight in config.weights().items())


def dice_by_hand(p: dict, truth: dict, known: Sequence[int]) -> float:
    losses = []
    for k in known:
        both = sum(p[at][k] for at in truth if truth[at] == k)
        sides = sum(p[at][k] for at in truth) + sum(truth[at] == k for at in truth)
        losses.append(1 - (2 * both + SMOOTH) / (sides + SMOOTH))
    return sum(losses) / len(losses)


def entropy_by_hand(p: dict, truth: dict, weights: Sequence[float]) -> float:
    total = sum(-weights[k] * math.log(p[at][k]) for at, k in truth.items())
    return total / sum(weights[k] for k in truth.values())


def boundary_by_hand(p: dict, truth: dict, known: Sequence[int]) -> float:
    """Distances from each voxel to the nearest of the class's voxels with a labelled neighbour of something else."""
    edges, total = [edge / min(SPACING) for edge in SPACING], 0.0
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, step)) == 1]
    for k in known:
        contour = [
            at for at in truth if truth[at] == k
            and any(truth.get(tuple(map(sum, zip(at, step, strict=True))), k) != k for step in steps)
        ]  # fmt: skip
        for at in truth if contour else ():
            far = min(math.dist(*(np.multiply(place, edges) for place in (at, point))) for point in contour)
            total += p[at][k] * (-far if truth[at] == k else far)
    return total / len(truth)


@pytest.mark.parametrize("name", CONFIGS)
class TestEachLoss:
    def test_is_that_of_the_formula(self, name: str) -> None:
        logits, target = logits_and_target()
        for index in range(len(target)):
            one = logits[index : index + 1], target[index : index + 1]
            expected = by_hand(CONFIGS[name], *one)
            assert float(loss_of(CONFIGS[name])([one[0]], one[1])) == pytest.approx(expected, rel=2e-6, abs=1e-9)
        loss = loss_of(CONFIGS[name])([logits], target)
        assert float(loss) == pytest.approx(by_hand(CONFIGS[name], logits, target), rel=2e-6)

    def test_is_it_in_float32_and_in_16_bits(self, name: str) -> None:
        logits, target = logits_and_target()
        for kind, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 1e-5)):
            rounded = logits.to(kind)
            loss = loss_of(CONFIGS[name])([rounded], target)
            assert loss.dtype == torch.float32
            assert float(loss) == pytest.approx(by_hand(CONFIGS[name], rounded.double(), target), rel=tolerance)

    def test_its_gradient(self, name: str) -> None:
        logits, target = logits_and_target((3, 3, 2))
        assert torch.autograd.gradcheck(
            lambda values: loss_of(CONFIGS[name])([values], target), logits.requires_grad_()
        )

    def test_with_deep_supervision(self, name: str) -> None:
        """Lower resolutions weigh half of the one above; the boundary term looks at the full one alone."""
        logits, target = logits_and_target((3, 6, 4))
        generator = torch.Generator().manual_seed(6)
        lower = torch.randn((5, CLASSES, 3, 3, 2), generator=generator, dtype=torch.float64)
        region = replace(CONFIGS[name], boundary_weight=None)
        nearest = target[:, :, 1::2, 1::2]
        config, at_full = CONFIGS[name], by_hand(CONFIGS[name], logits, target)
        share = by_hand(region, logits, target), by_hand(region, lower, nearest)
        expected = at_full - share[0] + (2 * share[0] + share[1]) / 3
        assert float(loss_of(config)([logits, lower], target)) == pytest.approx(expected, rel=2e-6)

    def test_numbers_that_no_voxel_has_change_no_bit(self, name: str) -> None:
        logits, _ = logits_and_target()
        generator = torch.Generator().manual_seed(9)
        target = torch.stack([sample_labels([1, 2, 3, 4], 0, generator, (3, 5, 4)) for _ in range(5)])
        for kind in (torch.float32, torch.float64):
            values = [logits.to(kind).requires_grad_() for _ in range(2)]
            losses = [
                loss_of(CONFIGS[name], codes)([one], target) for one, codes in zip(values, ((), CODES), strict=True)
            ]
            for loss in losses:
                loss.backward()
            assert torch.equal(*losses)
            assert values[0].grad is not None and values[1].grad is not None
            assert torch.equal(values[0].grad, values[1].grad)


class TestMerging:
    def test_a_sample_without_unknown_classes_is_as_it_is_alone(self) -> None:
        """Beside one that has some, too: to the bit."""
        logits, target = (part[:2] for part in logits_and_target())
        merged, known, unknown = merge_unknown(logits.float(), target, unknown_tables(CODES, CLASSES, CPU))
        assert torch.equal(merged[0], logits[0].float()) and torch.equal(known[0], target[0])
        assert unknown.tolist() == [[False] * 5, [False, False, True, False, False]]
        for config in CONFIGS.values():
            alone = [loss_of(config)([logits[i : i + 1].float()], target[i : i + 1]) for i in range(2)]
            torch.testing.assert_close(loss_of(config)([logits.float()], target), (alone[0] + alone[1]) / 2)

    def test_probabilities_are_put_together_and_all_others_stay(self) -> None:
        logits, target = logits_and_target()
        merged, known, _ = merge_unknown(logits, target, unknown_tables(CODES, CLASSES, CPU))
        before, after = logits.softmax(1), merged.softmax(1)
        free = target == 6
        assert (known[free] == 0).all() and torch.equal(known[target < CLASSES], target[target < CLASSES])
        torch.testing.assert_close(after[:, 0][free], before[:, [0, 1, 2, 4]].sum(1)[free])
        assert (after[:, [1, 2, 4]].movedim(1, -1)[free] == 0).all()
        torch.testing.assert_close(after[:, 3][target != 7], before[:, 3][target != 7])
        torch.testing.assert_close(after.sum(1), torch.ones_like(after[:, 0]))

    def test_what_is_free_has_no_say_between_background_and_unknown_classes(self) -> None:
        """The gradient of cross-entropy there moves both together: no other class."""
        logits, _ = logits_and_target()
        target = torch.full((5, 3, 5, 4), 7, dtype=torch.int16)
        values = logits.requires_grad_()
        loss_of(CONFIGS["cross-entropy"])([values], target).backward()
        assert values.grad is not None
        shares = logits[:, [0, 3, 4]].softmax(1) * values.grad[:, [0, 3, 4]].sum(1, keepdim=True)
        torch.testing.assert_close(values.grad[:, [0, 3, 4]], shares)
        assert (values.grad[:, [0, 3, 4]] < 0).all() and (values.grad[:, [1, 2]] > 0).all()

    def test_where_nothing_was_drawn_nothing_is_learned(self) -> None:
        every = (LabelCode(unknown=(1, 2, 3, 4)),)
        logits, _ = logits_and_target()
        target = torch.full((5, 3, 5, 4), 5, dtype=torch.int16)
        for config in CONFIGS.values():
            values = logits.float().requires_grad_()
            loss = loss_of(config, every)([values], target)
            loss.backward()
            assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
            assert values.grad is not None and float(values.grad.abs().max()) < 1e-6

    @pytest.mark.parametrize("name", sorted(LOSS_TERMS))
    def test_of_certain_predictions_is_finite(self, name: str) -> None:
        """Logits whose probabilities are 0 and 1 in float32, right and wrong."""
        _, target = logits_and_target()
        certain = torch.nn.functional.one_hot(target.clamp(min=0, max=4).long(), CLASSES).movedim(-1, 1)
        for sign in (1, -1):
            values = (sign * 1e4 * certain.float()).requires_grad_()
            loss = loss_of(LossConfig(loss_type=name, gamma=0.5))([values], target)
            loss.backward()
            assert values.grad is not None
            assert bool(torch.isfinite(loss)) and bool(torch.isfinite(values.grad).all())

    def test_the_tables_say_which_classes_may_be_where(self) -> None:
        tables = unknown_tables(CODES, CLASSES, CPU)
        assert {index: table.nonzero()[:, 0].tolist() for index, table in tables.items()} == {
            1: [6], 2: [5, 6], 3: [7], 4: [6, 7],
        }  # fmt: skip
        assert unknown_tables((), CLASSES, CPU) == {}
