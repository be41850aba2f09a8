"""What the curves of a training look like when something is wrong, as the training guide describes it.

("Common Training Curves", "Common Issues".) Looks are at trends and ratios: a training loss comes from augmented,
oversampled patches and several resolutions, and is not on the scale of the validation loss. The standard library only.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.guide.remedies import RATE_RANGE, TrainingFacts, is_rate_below_range

# When there is enough to judge
FEWEST_VALIDATIONS = 3  # two points are no trend
EARLY_SHARE = 0.1  # of the training, for a loss that does not move at all
SETTLED_SHARE = 0.5  # of the training: before, slow beginners are as poor (rare structures come late)
LATE_SHARE = 0.66  # of the training, for a class that is not found while others are: it may still come
# What a good and a poor result is; mean Dice over the classes
GOOD = 0.7  # "good overlap" by common use (Zijdenbos 1994)
POOR_LABELS = 0.4  # honest labels of 5 and more cases teach more than that to a network of sufficient size
ENOUGH_CASES = 5
LEARNED = 0.3  # a class with this Dice is being learned
NOT_FOUND = 0.01
# How far a curve must move to have moved
STILL = 0.02  # share of the loss; less in the whole training is no learning (1e-6 of Adam moves 0.015)
SETTLED_FALL = 0.05  # share of the validation loss in the last third of the validations
SETTLED_GAIN = 0.05  # Dice in the last third
FLAT_GAIN = 0.02  # Dice in the last third, where the loss does not count: the averaged weights lag behind
GAIN = 0.01  # Dice; less is noise
RISING_GAIN = 0.04  # Dice in the last third, at the end of a training: more time would have paid
# Instability
EXPLODED = 1.25  # times the loss of the first epoch, which is that of an untrained network
JUMP, SMALL_JUMP = 0.3, 0.05  # share of the loss before, and of the first loss: patches of an epoch vary by 0.2
JUMPS, JUMP_WINDOW = 3, 10  # so many within so many epochs
SPIKE = 20.0  # times the median gradient norm; healthy trainings stay below 7
CALM = 1.1  # times its lowest value: where the loss is there again, and the result is good, the storm is over
NO_GRADIENT = 1e-7
# Overfitting
RISE = 0.1  # of the validation loss above its lowest value, where the Dice gains nothing either
FALL = 0.1  # of the training loss in the same time
GAP = 0.4  # training loss to validation loss; with augmentation, healthy trainings are near 1
EXCELLENT = 0.9  # mean Dice: a gap does no harm here, and more time gives little
# Capacity
SMALL_WIDTH = {"base_channels": 8, "init_filters": 4, "embed_dim": 24}  # less is small for any anatomy
NO_FOREGROUND = 0.05  # predicted voxels of structures for each one in the references


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """An epoch; what was not measured, or is not a number, is None.

    epochs: how many are planned. val_dice: mean over the classes. foreground: predicted voxels of structures for each
    one in the references. recoveries: how often the loss was not a number, up to here.
    """

    epoch: int
    epochs: int
    train_loss: float | None
    learning_rate: float
    gradient_norm: float | None
    val_loss: float | None = None
    val_dice: float | None = None
    dice: Mapping[str, float | None] = field(default_factory=dict)
    foreground: float | None = None
    recoveries: int = 0


class Curves:
    """What the looks below ask for, worked out of the points once."""

    def __init__(self, history: Sequence[CurvePoint], facts: TrainingFacts, ended: bool) -> None:
        self.facts, self.ended = facts, ended
        self.newest = history[-1]
        self.share = 1.0 if ended else self.newest.epoch / max(1, self.newest.epochs)
        self.losses = [point.train_loss for point in history if point.train_loss is not None]
        self.norms = [point.gradient_norm for point in history if point.gradient_norm is not None]
        self.lost = any(point.train_loss is None for point in history)
        self.judged = [point for point in history if point.val_dice is not None]
        self.dice = [point.val_dice for point in self.judged if point.val_dice is not None]
        self.val_losses = [point.val_loss for point in self.judged]
        if any(LOSS_TERMS[term].is_ramped for term in facts.loss.weights()):  # another loss each time
            self.losses, self.val_losses = [], [None for _ in self.judged]

    @property
    def validations(self) -> int:
        return len(self.judged)

    @property
    def best_dice(self) -> float:
        return max(self.dice, default=0.0)

    @property
    def known_losses(self) -> list[float]:
        """Validation losses; empty where one of them is missing, as in jobs of earlier versions."""
        positive = [loss for loss in self.val_losses if loss is not None and loss > 0]
        return positive if len(positive) == len(self.val_losses) else []

    @property
    def third(self) -> int:
        """How many validations back the last third of them began."""
        return max(3, self.validations // 3)

    @property
    def gain(self) -> float:
        """Dice in the last third of the validations."""
        return self.dice[-1] - self.dice[-1 - self.third]

    @property
    def is_settled(self) -> bool:
        """Whether the held-out cases have stopped to gain."""
        if self.share < SETTLED_SHARE or self.validations <= self.third:
            return False
        losses = self.known_losses
        still = not losses or losses[-1] > (1 - SETTLED_FALL) * losses[-1 - self.third]
        return still and self.gain < (SETTLED_GAIN if losses else FLAT_GAIN)

    @property
    def is_flat(self) -> bool:
        """Whether the Dice has stopped to gain, whatever the loss does."""
        return self.share >= SETTLED_SHARE and self.validations > self.third and self.gain < FLAT_GAIN

    @property
    def is_narrow(self) -> bool:
        width = self.facts.width
        return width is not None and width[1] < SMALL_WIDTH[width[0]]

    def tail(self, count: int = FEWEST_VALIDATIONS) -> list[CurvePoint]:
        """The last validations; none before there are so many."""
        return self.judged[-count:] if self.validations >= count else []


# --- What each finding looks like; each look answers with what was seen, or None ---


def _unstable(curves: Curves) -> str | None:
    """Guide, "Unstable Training": the loss fluctuates wildly, gradients explode."""
    if curves.newest.recoveries or curves.lost:
        times = curves.newest.recoveries
        return f"The loss was not a number{f' {times} times' if times > 1 else ''}; it exploded."
    losses = curves.losses
    if len(losses) < 2 or _is_calm(curves):
        return None
    if max(losses) > EXPLODED * losses[0] and not curves.facts.begins_trained:
        return f"The training loss rose from {losses[0]:.2g} to {max(losses):.2g}: steps are too large."
    recent = losses[-1 - JUMP_WINDOW :]
    jumps = sum(
        after - before > max(JUMP * abs(before), SMALL_JUMP * abs(losses[0]))
        for before, after in itertools.pairwise(recent)
    )
    if jumps >= JUMPS:
        return f"The training loss jumped up {jumps} times in the last {len(recent) - 1} epochs."
    norms = curves.norms
    if len(norms) > JUMPS and norms[-1] > SPIKE * statistics.median(norms[:-1]) > 0:
        return f"The gradient grew to {norms[-1]:.2g}, from {statistics.median(norms[:-1]):.2g}."
    return None


def _is_calm(curves: Curves) -> bool:
    """A storm that is over and did no harm."""
    return bool(curves.dice) and curves.dice[-1] >= GOOD and curves.losses[-1] <= CALM * min(curves.losses)


def _not_learning(curves: Curves) -> str | None:
    """Guide, "Issue 2: Model Not Learning": the loss does not decrease, metrics do not improve."""
    after_warmup = curves.losses[math.ceil(curves.facts.warmup_epochs) :]
    if curves.share < EARLY_SHARE or curves.best_dice >= LEARNED:
        return None
    falling = curves.known_losses or after_warmup or [1 - dice for dice in curves.dice]
    if min(len(falling), len(after_warmup or falling)) < FEWEST_VALIDATIONS:
        return None
    if falling[0] - falling[-1] > STILL * abs(falling[0]):
        return None
    rate, kind = curves.facts.learning_rate, curves.facts.optimizer_type
    observation = f"The loss has not moved from {falling[0]:.3g}"
    if curves.norms and curves.norms[-1] < NO_GRADIENT:
        return f"{observation}, and there is no gradient: the loss does not depend on the network's answer."
    low, high = RATE_RANGE[kind]
    usual = f"{kind} usually takes {low:g} to {high:g}"
    if is_rate_below_range(curves.facts):
        return f"{observation}: the learning rate of {rate:g} is too low ({usual})."
    return f"{observation}, at a learning rate of {rate:g} ({usual})."


def _labels(curves: Curves) -> str | None:
    """Guide, "Issue 2", cause "data issues": a sufficient network sees many cases and stays poor in all of them."""
    if not curves.is_settled or curves.is_narrow or curves.best_dice >= POOR_LABELS:
        return None
    if curves.facts.cases < ENOUGH_CASES or _at_zero(curves):
        return None
    if _is_background(curves.judged[-1]) and "dice" not in curves.facts.loss.weights():
        return None  # such a loss is content with the background
    return (
        f"With {curves.facts.cases} training cases the mean Dice stays at {curves.best_dice:.2f} and no longer gains. "
        "The network is large enough: probably labels and images do not belong together."
    )


def _overfitting(curves: Curves) -> str | None:
    """Guide, "Overfitting": the training loss falls, the validation loss rises, or there is a large gap."""
    losses, train = curves.known_losses, [point.train_loss for point in curves.judged]
    if len(losses) < FEWEST_VALIDATIONS or curves.best_dice >= EXCELLENT or train[-1] is None:
        return None
    lowest = losses.index(min(losses))
    then = train[lowest]
    risen = min(losses[-2:]) > (1 + RISE) * losses[lowest] and max(curves.dice[lowest:]) < curves.dice[lowest] + GAIN
    if risen and then is not None and train[-1] < (1 - FALL) * then:
        return (
            f"Since epoch {curves.judged[lowest].epoch} the loss on the held-out cases rises ({losses[lowest]:.2g} to "
            f"{losses[-1]:.2g}), while that of the training cases falls ({then:.2g} to {train[-1]:.2g})."
        )
    if curves.is_flat and train[-1] < GAP * losses[-1]:
        return (
            f"The loss of the training cases ({train[-1]:.2g}) is far below that of the held-out cases "
            f"({losses[-1]:.2g}), which gain no more."
        )
    return None


def _underfitting(curves: Curves) -> str | None:
    """Guide, "Underfitting": both losses high, metrics plateau early, capacity too small."""
    if not curves.is_settled or not curves.is_narrow or curves.best_dice >= GOOD:
        return None
    name, width = curves.facts.width or ("", 0)
    return (
        f"Training and held-out cases are both poor, the mean Dice stays at {curves.best_dice:.2f}, and the network is "
        f"narrow ({name} {width})."
    )


def _plateau(curves: Curves) -> str | None:
    """Guide, "Issue 4: Poor Convergence": metrics plateau; what remains where nothing explains it."""
    if not curves.is_settled or curves.best_dice >= GOOD:
        return None
    return f"The mean Dice stays at {curves.best_dice:.2f} and no longer gains."


def _unfinished(curves: Curves) -> str | None:
    """Guide, "Issue 4", "slow learning": the curve still rose when the training ended."""
    if not curves.ended or curves.validations <= curves.third or curves.is_settled:
        return None
    if curves.gain < RISING_GAIN or curves.dice[-1] >= EXCELLENT:
        return None
    return f"The mean Dice still rose when it ended, to {curves.dice[-1]:.2f}: more epochs would give more."


def _only_background(curves: Curves) -> str | None:
    """Guide, "Issue 5": the model predicts only the majority class."""
    if not curves.tail() or not all(_is_background(point) for point in curves.tail()):
        return None
    if not curves.is_settled and not curves.ended:
        return None
    return "Hardly a voxel of any structure is found in the held-out cases, while the background outweighs them."


def _is_background(point: CurvePoint) -> bool:
    if point.foreground is not None:
        return point.foreground < NO_FOREGROUND
    return all(dice < NOT_FOUND for dice in point.dice.values() if dice is not None)


def _class_at_zero(curves: Curves) -> str | None:
    """Guide, "Issue 5", for a structure that is missed while others are learned."""
    names = _at_zero(curves)
    if not names or curves.share < LATE_SHARE:
        return None
    ignored = [name for name in names if name in _ignored(curves.facts)]
    reason = (
        f"The loss gives no weight to {', '.join(ignored)}." if ignored else "Others are found: is it rare or small?"
    )
    return f"{', '.join(names)}: Dice 0 in the held-out cases. {reason}"


def _at_zero(curves: Curves) -> list[str]:
    """Classes that no recent validation found: while others are learned, or because the loss leaves them out."""
    tail = curves.tail()
    if not tail:
        return []
    learned = max((dice for dice in tail[-1].dice.values() if dice is not None), default=0.0) >= LEARNED
    values = {name: [point.dice.get(name) for point in tail] for name in tail[-1].dice}
    missed = [name for name, dice in values.items() if all(one is not None and one < NOT_FOUND for one in dice)]
    return [name for name in missed if learned or name in _ignored(curves.facts)]


def _ignored(facts: TrainingFacts) -> set[str]:
    """Classes that the loss gives no weight to."""
    weights = facts.loss.class_weights
    takes_them = (LOSS_TERMS[term].class_weights == "class_weights" for term in facts.loss.weights())
    if not isinstance(weights, list) or not all(takes_them):
        return set()
    return {name for name, weight in zip(facts.class_names, weights[1:], strict=False) if weight == 0}


def _healthy(curves: Curves) -> str | None:
    """Guide, "Healthy Training"; reported once, at the end."""
    if not curves.ended or curves.validations < FEWEST_VALIDATIONS or curves.best_dice < GOOD:
        return None
    return f"The held-out cases reached a mean Dice of {curves.best_dice:.2f}. Nothing needs changing."


SYMPTOMS: dict[str, Callable[[Curves], str | None]] = {  # causes before what follows from them
    "unstable": _unstable,
    "not_learning": _not_learning,
    "labels": _labels,
    "overfitting": _overfitting,
    "underfitting": _underfitting,
    "only_background": _only_background,
    "class_at_zero": _class_at_zero,
    "plateau": _plateau,
    "unfinished": _unfinished,
    "healthy": _healthy,
}
