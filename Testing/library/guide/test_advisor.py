"""What the advisor says of recorded trainings, of curves drawn by hand, and when."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.guide.advisor import FINDINGS, CurvePoint, advise, history_from_events, news
from MedSegTrainerLib.guide.remedies import REMEDIES, TrainingFacts
from MedSegTrainerLib.guide.symptoms import SYMPTOMS

CLASSES = ("organ", "cyst")
FACTS = TrainingFacts(
    optimizer_type="AdamW", learning_rate=2e-3, lr_schedule="cosine", warmup_epochs=0.0, weight_decay=1e-2,
    gradient_clip=12.0, mixed_precision=False, batch_size=2, augmentation=True, augmentation_strength="standard",
    foreground_oversampling=0.33, case_sampling="uniform", architecture="PlannedUNet",
    network={"base_channels": 16, "norm": "instance", "dropout": 0.0}, loss=LossConfig(loss_type="combined"),
    epochs=20, early_stopping=False, cases=12, class_names=CLASSES,
)  # fmt: skip
EPOCHS = 20
Event = dict[str, Any]


@cache
def recorded() -> dict[str, Any]:
    """Trainings of this project: a row is epoch, epochs, training loss, rate, gradient norm, and where there was a
    validation its loss, foreground and Dice of each class; null where an earlier version did not measure it."""
    return json.loads(Path(__file__).with_name("recorded_curves.json").read_text(encoding="utf-8"))


def recorded_facts(name: str) -> TrainingFacts:
    values = recorded()[name]["facts"]
    return TrainingFacts(**{**values, "loss": LossConfig(**values["loss"])})


def recorded_events(name: str) -> list[Event]:
    names = recorded_facts(name).class_names
    events: list[Event] = []
    for epoch, epochs, loss, rate, norm, *validation in recorded()[name]["rows"]:
        events.append(epoch_event(epoch, loss, epochs=epochs, learning_rate=rate, gradient_norm=norm))
        if validation:
            val_loss, foreground, *dice = validation
            events.append(validated_event(epoch, dict(zip(names, dice, strict=True)), val_loss, foreground))
    return events


def epoch_event(epoch: int, loss: float | None, **more: Any) -> Event:
    values = {"epochs": EPOCHS, "learning_rate": 2e-3, "gradient_norm": 0.3, **more}
    return {"kind": "epoch", "epoch": epoch, "train_loss": loss, **values}


def validated_event(
    epoch: int, dice: dict[str, float | None], val_loss: float | None = None, foreground: float | None = None
) -> Event:
    known = [value for value in dice.values() if value is not None]
    metrics = {} if val_loss is None else {"val_loss": val_loss, "val_foreground": foreground}
    return {"kind": "validated", "epoch": epoch, "mean_dice": np.mean(known), "dice": dice, "metrics": metrics}


def curve(
    train: Sequence[float | None], val: Sequence[float], dice: Sequence[Any], *, epochs: int | None = None, **more: Any
) -> list[CurvePoint]:
    """A point an epoch; ``dice`` of both classes alike, or a pair."""
    pairs = [d if isinstance(d, tuple) else (d, d) for d in dice]
    return [
        CurvePoint(
            epoch=index + 1, epochs=epochs or len(train), train_loss=loss, learning_rate=1e-3, gradient_norm=0.3,
            val_loss=val_loss, val_dice=float(np.mean(pair)), dice=dict(zip(CLASSES, pair, strict=True)), **more,
        )
        for index, (loss, val_loss, pair) in enumerate(zip(train, val, pairs, strict=True))
    ]  # fmt: skip


def fall(start: float, end: float, count: int = EPOCHS) -> list[float]:
    """From start nearly to end, fast first."""
    return [end + (start - end) * 0.75**index for index in range(count)]


def findings(history: Sequence[CurvePoint], facts: TrainingFacts = FACTS, *, ended: bool = True) -> list[str]:
    return [advice.finding for advice in advise(history, facts, ended=ended)]


def advised_while_training(events: Sequence[Event], facts: TrainingFacts) -> list[str]:
    """Findings of a training that asks after each validation, as the trainer does."""
    events_so_far: list[Event] = []
    for event in events:
        events_so_far.append(event)
        if event["kind"] == "validated":
            advice = news(events_so_far, facts)
            events_so_far += [{"kind": "advised", "finding": advised.finding} for advised in advice]
    return [event["finding"] for event in events_so_far if event["kind"] == "advised"]


class TestRecorded:
    @pytest.mark.parametrize("name", recorded())
    def test_is_called_by_its_name_in_the_end(self, name: str) -> None:
        assert findings(history_from_events(recorded_events(name)), recorded_facts(name)) == recorded()[name]["end"]

    @pytest.mark.parametrize("name", [name for name, run in recorded().items() if run["end"] == ["healthy"]])
    def test_nothing_is_said_while_a_healthy_training_goes_on(self, name: str) -> None:
        assert advised_while_training(recorded_events(name), recorded_facts(name)) == []

    @pytest.mark.parametrize("name", [name for name, run in recorded().items() if run["end"] != ["healthy"]])
    def test_what_goes_wrong_is_told_before_the_end_and_nothing_else(self, name: str) -> None:
        assert advised_while_training(recorded_events(name), recorded_facts(name)) == recorded()[name]["end"]

    @pytest.mark.parametrize("name", [name for name, run in recorded().items() if run["end"] == ["healthy"]])
    def test_noise_changes_nothing(self, name: str) -> None:
        """A tenth more or less on the losses and 0.01 on the Dice, drawn anew for each of these runs."""
        history = history_from_events(recorded_events(name))
        for seed in range(5):
            generator = np.random.default_rng(seed)
            noisy = [_shaken(point, generator) for point in history]
            assert findings(noisy, recorded_facts(name)) == ["healthy"], seed
            for end in range(1, len(noisy)):
                assert findings(noisy[:end], recorded_facts(name), ended=False) == [], (seed, end)


def _shaken(point: CurvePoint, generator: np.random.Generator) -> CurvePoint:
    train, val = generator.uniform(0.9, 1.1, 2)
    dice = None if point.val_dice is None else point.val_dice + generator.uniform(-0.01, 0.01)
    return replace(
        point, train_loss=(point.train_loss or 0) * train, val_dice=dice,
        val_loss=None if point.val_loss is None else point.val_loss * (1 + (val - 1) / 4),
    )  # fmt: skip


class TestFindings:
    def test_every_finding_has_a_headline_symptoms_and_remedies(self) -> None:
        assert FINDINGS.keys() == SYMPTOMS.keys() == REMEDIES.keys()

    RISING = (0.9, 0.7, 0.55, 0.45, 0.38, 0.34, 0.31, 0.3, 0.36, 0.38, 0.4, 0.42)

    def test_validation_loss_that_rises_while_the_training_loss_falls(self) -> None:
        dice = [*np.linspace(0.1, 0.7, 8), 0.7, 0.69, 0.68, 0.68]
        history = curve(fall(0.9, 0.2, 12), self.RISING, dice, epochs=30)
        assert findings(history, ended=False) == ["overfitting"]
        assert "epoch 8" in advise(history, FACTS)[0].message

    def test_a_rising_loss_is_no_harm_where_the_dice_still_gains(self) -> None:
        """Cross-entropy punishes certainty; what counts is the overlap."""
        history = curve(fall(0.9, 0.2, 12), self.RISING, np.linspace(0.1, 0.9, 12), epochs=30)
        assert findings(history, ended=False) == []

    def test_one_bad_validation_is_no_overfitting(self) -> None:
        dice = [*np.linspace(0.1, 0.7, 8), 0.7, 0.66, 0.7, 0.7]
        history = curve(fall(0.9, 0.2, 12), [*self.RISING[:8], 0.31, 0.31, 0.31, 0.42], dice, epochs=30)
        assert findings(history, ended=False) == []

    def test_an_excellent_model_may_have_a_gap(self) -> None:
        history = curve(fall(0.9, 0.001), fall(0.9, 0.03), fall(0.1, 0.97))
        assert findings(history) == ["healthy"]

    def test_a_jumping_loss(self) -> None:
        train = [0.9, 0.7, 0.5, 0.8, 0.5, 0.75, 0.45, 0.7, 0.5, 0.8]
        assert findings(curve(train, [0.6] * 10, [0.3] * 10)) == ["unstable"]

    def test_a_gradient_that_explodes(self) -> None:
        history = curve(fall(0.9, 0.3), fall(0.9, 0.4), [0.4] * EPOCHS)
        assert "unstable" not in findings(history)
        assert findings([*history[:-1], replace(history[-1], gradient_norm=30.0)]) == ["unstable"]

    def test_a_loss_that_was_no_number(self) -> None:
        history = curve(fall(0.9, 0.1), fall(0.9, 0.1), fall(0.1, 0.9))
        assert findings(history) == ["healthy"]
        assert findings([*history[:-1], replace(history[-1], recoveries=2)]) == ["unstable"]
        assert findings([*history[:-1], replace(history[-1], train_loss=None)]) == ["unstable"]

    def test_a_storm_that_is_over(self) -> None:
        train = [0.9, 1.5, *fall(0.9, 0.1, 18)]
        assert findings(curve(train[:4], [0.8] * 4, [0.2] * 4), ended=False) == ["unstable"]
        assert findings(curve(train, fall(0.9, 0.1), fall(0.1, 0.9))) == ["healthy"]

    def test_a_loss_above_that_of_a_trained_model_is_no_explosion(self) -> None:
        """It began low: what a training from nothing has in its first epoch it never had."""
        history = curve([0.2, 0.3, 0.28, 0.25, 0.24], [0.6] * 5, [0.3] * 5)
        assert findings(history) == ["unstable"]
        assert "unstable" not in findings(history, replace(FACTS, begins_trained=True))

    def test_no_gradient(self) -> None:
        history = [replace(point, gradient_norm=0.0) for point in curve([0.9] * 6, [0.9] * 6, [0.0] * 6)]
        assert findings(history, ended=False) == ["not_learning"]
        assert "no gradient" in advise(history, FACTS)[0].message

    def test_the_warm_up_is_awaited(self) -> None:
        history = curve([0.9] * 5, [0.9] * 5, [0.05] * 5, epochs=40)
        assert findings(history, ended=False) == ["not_learning"]
        assert findings(history, replace(FACTS, warmup_epochs=4.0), ended=False) == []

    def test_a_rate_that_is_too_low_is_named(self) -> None:
        history = curve([0.9] * 6, [0.9] * 6, [0.05] * 6)
        (advice,) = advise(history, replace(FACTS, learning_rate=1e-7))
        assert "1e-07 is too low" in advice.message
        (advice,) = advise(history, FACTS)
        assert "too low" not in advice.message

    @pytest.mark.parametrize(
        ("changes", "finding"),
        [
            ({"loss": LossConfig(loss_type="cross_entropy")}, "only_background"),
            ({"network": {"base_channels": 4}}, "underfitting"),
            ({}, "labels"),
            ({"cases": 3}, "only_background"),
        ],
        ids=["loss without overlap", "narrow network", "all is as it should be", "few cases"],
    )
    def test_why_only_background_is_found(self, changes: dict[str, Any], finding: str) -> None:
        history = curve(fall(0.9, 0.5), fall(0.9, 0.5), [0.0] * EPOCHS, foreground=0.01)
        assert findings(history, replace(FACTS, **changes)) == [finding]

    def test_without_the_share_of_foreground_the_dice_says_it(self) -> None:
        history = curve(fall(0.9, 0.5), fall(0.9, 0.5), [0.0] * EPOCHS)
        assert findings(history, replace(FACTS, loss=LossConfig(loss_type="focal"))) == ["only_background"]

    def test_a_class_at_zero_is_named_late(self) -> None:
        history = curve(fall(0.9, 0.1), fall(0.9, 0.1), [(d, 0.0) for d in fall(0.1, 0.9)])
        assert findings(history[:10], ended=False) == []
        assert findings(history[:16], ended=False) == ["class_at_zero"]
        (advice,) = advise(history, FACTS)
        assert advice.message.startswith("cyst: Dice 0")

    def test_a_class_that_no_held_out_case_has_is_not_missed(self) -> None:
        history = curve(fall(0.9, 0.1), fall(0.9, 0.1), fall(0.1, 0.9))
        assert findings([replace(point, dice={**point.dice, "vein": None}) for point in history]) == ["healthy"]

    def test_a_loss_that_leaves_a_class_out_is_named(self) -> None:
        history = curve(fall(0.9, 0.1), fall(0.9, 0.1), [(d, 0.0) for d in fall(0.1, 0.9)])
        loss = LossConfig(loss_type="cross_entropy", class_weights=[1.0, 1.0, 0.0])
        (advice,) = advise(history, replace(FACTS, loss=loss))
        assert "no weight to cyst" in advice.message
        for other in (replace(loss, class_weights=[1.0, 0.0, 1.0]), replace(loss, loss_type="combined")):
            (advice,) = advise(history, replace(FACTS, loss=other))
            assert "no weight" not in advice.message

    def test_a_class_that_the_loss_leaves_out_is_named_though_nothing_is_learned_yet(self) -> None:
        """Recorded: ten epochs of cross-entropy, in the last of which the organ appears."""
        history = curve(fall(0.6, 0.05, 10), fall(0.3, 0.04, 10), [*[0.0] * 8, (0.02, 0.0), (0.29, 0.0)])
        loss = LossConfig(loss_type="cross_entropy", class_weights=[1.0, 1.0, 0.0])
        assert findings(history, replace(FACTS, loss=loss)) == ["class_at_zero"]
        assert findings(history, replace(FACTS, loss=replace(loss, class_weights=None))) == ["unfinished"]

    def test_a_plateau(self) -> None:
        history = curve(fall(0.9, 0.4), fall(0.9, 0.4), fall(0.1, 0.55))
        assert findings(history) == ["plateau"]
        assert findings(history[:8], ended=False) == []

    def test_a_curve_that_still_rises(self) -> None:
        history = curve(list(np.linspace(0.9, 0.4, 9)), list(np.linspace(0.9, 0.4, 9)), list(np.linspace(0.1, 0.6, 9)))
        assert findings(history) == ["unfinished"]
        assert findings(history, ended=False) == []
        excellent = [replace(point, val_dice=(point.val_dice or 0) + 0.35) for point in history]
        assert findings(excellent) == ["healthy"]

    def test_several_at_once(self) -> None:
        history = curve(fall(0.9, 0.01), fall(0.9, 0.3), [(d, 0.0) for d in fall(0.1, 0.6)])
        assert findings(history) == ["overfitting", "class_at_zero"]

    def test_a_boundary_loss_grows_with_its_weight(self) -> None:
        """Ramped in, it may rise above its start, and below zero, without any harm."""
        facts = replace(FACTS, loss=LossConfig(loss_type="combined", dice_weight=0.4, boundary_weight=0.2))
        history = curve(
            [0.9, 0.8, 1.2, 1.5, -0.2, 1.9], [0.9, 0.8, 1.2, 1.5, 1.7, 1.9], [0.2, 0.7, 0.8, 0.81, 0.81, 0.81]
        )
        assert findings(history, facts) == ["healthy"]
        assert findings(history, FACTS) != ["healthy"]


class TestPatience:
    def test_nothing_is_said_of_nothing(self) -> None:
        assert advise([], FACTS) == [] == news([], FACTS)

    @pytest.mark.parametrize("count", [1, 2])
    def test_two_validations_are_no_curve(self, count: int) -> None:
        for dice in (0.0, 0.9):
            assert findings(curve([0.9] * count, [0.9] * count, [dice] * count)) == []

    def test_a_good_training_is_told_once_and_in_the_end(self) -> None:
        history = curve(fall(0.9, 0.1), fall(0.9, 0.1), fall(0.1, 0.9))
        assert findings(history, ended=False) == []
        (advice,) = advise(history, FACTS, ended=True)
        assert (advice.finding, advice.remedies) == ("healthy", ())

    def test_without_held_out_cases_only_the_training_loss_speaks(self) -> None:
        points = [
            replace(point, val_loss=None, val_dice=None, dice={}) for point in curve([0.9] * 9, [1.0] * 9, [0.0] * 9)
        ]
        assert findings(points) == ["not_learning"]
        assert (
            findings([replace(point, train_loss=loss) for point, loss in zip(points, fall(0.9, 0.1, 9), strict=True)])
            == []
        )

    def test_validations_between_many_epochs(self) -> None:
        history = curve(fall(0.9, 0.5, 32), fall(0.9, 0.5, 32), fall(0.0, 0.2, 32))
        rare = [
            point if point.epoch % 4 == 0 else replace(point, val_loss=None, val_dice=None, dice={})
            for point in history
        ]
        assert findings(rare) == ["labels"]


class TestNews:
    def events(self) -> list[Event]:
        return recorded_events("rate 10")

    def test_what_was_told_is_not_told_again(self) -> None:
        events, facts = self.events(), recorded_facts("rate 10")
        (advised,) = news(events, facts)
        assert (advised.finding, advised.epoch) == ("unstable", 12)
        assert news([*events, {"kind": "advised", "finding": "unstable"}], facts) == []

    def test_the_message_begins_with_the_headline(self) -> None:
        (advice,) = news(self.events(), recorded_facts("rate 10"))
        assert advice.message.startswith(f"{FINDINGS['unstable']}. ")
        assert {"setting": "learning_rate", "current": "10", "suggested": "0.001"}.items() <= advice.remedies[0].items()
        json.dumps(advice.remedies)


class TestHistory:
    def test_the_last_word_on_an_epoch_counts(self) -> None:
        events = [
            epoch_event(1, 0.9), validated_event(1, {"organ": 0.1}), epoch_event(2, 0.8), epoch_event(3, 0.1),
            validated_event(3, {"organ": 0.9}), {"kind": "resumed", "epoch": 1, "step": 5}, epoch_event(2, 0.7),
            validated_event(2, {"organ": 0.3}, 0.6, 1.5), {"kind": "progress", "done": 1},
        ]  # fmt: skip
        history = history_from_events(events)
        assert [point.epoch for point in history] == [1, 2]
        assert [point.train_loss for point in history] == [0.9, 0.7]
        assert [point.val_dice for point in history] == [0.1, 0.3]
        assert (history[1].val_loss, history[1].foreground, history[0].val_loss) == (0.6, 1.5, None)

    def test_recoveries_are_counted(self) -> None:
        lost = {"kind": "recovered", "epoch": 1}
        history = history_from_events([epoch_event(1, 0.9), epoch_event(2, 0.9), lost, lost])
        assert [(point.epoch, point.recoveries) for point in history] == [(1, 2)]
        assert findings(history) == ["unstable"]
        assert [p.recoveries for p in history_from_events([epoch_event(1, 0.9), lost, epoch_event(2, 0.8)])] == [0, 1]


def test_needs_neither_torch_nor_numpy() -> None:
    """Slicer's Python reads the curves of a job with what it has."""
    code = "import sys, MedSegTrainerLib.guide.advisor; print({'torch', 'numpy', 'pydantic'} & sys.modules.keys())"
    root = Path(__file__).resolve().parents[3]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
