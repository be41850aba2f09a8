"""What to change when a training goes wrong: the training guide's remedies ("Common Issues") as settings.

A remedy names a setting as ``--set`` takes it. Only what would change something is suggested: what is already as the
guide wants it is left out. The standard library and the torch-free tables are all that is needed, so that Slicer's
Python can import this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.config.network_settings import network_settings
from MedSegTrainerLib.config.settings import LossConfig, TrainConfig
from MedSegTrainerLib.guide.tables import TYPICAL_RATE, WEIGHT_DECAY, choose_rate

if TYPE_CHECKING:
    from MedSegTrainerLib.config.plan import Plan  # needs numpy, which Slicer's side should not have to load

RATE_RANGE = {"Adam": (1e-5, 1e-3), "AdamW": (1e-5, 1e-3), "SGD": (1e-3, 1e-1)}  # guide, "Learning Rate"
CLIP = 1.0  # guide, "Issue 1: Loss is NaN"
DECAY = 1e-3  # guide, "Issue 3: Overfitting"
MOST_DECAY = 0.1  # of AdamW, whose decay does not act through the gradient; beyond, weights cannot stay
DROPOUT, MOST_DROPOUT = 0.2, 0.5  # whole feature maps: 0.5, which the guide has for units, comes second
PATIENCE = 20  # guide, "Issue 3: Overfitting"
NARROW, LEAST_CHANNELS = 32, 16  # fewer feature maps are not too many; fewer than 16 are too few for most anatomy
WIDTHS = ("base_channels", "init_filters", "embed_dim")
MOST_CHANNELS = 64  # guide, example configuration 1
OVERSAMPLING = 0.67  # twice the default: two patches of three are centred on a structure
LOOK = "look at the pictures"
FIND_RATE = "medsegtrainer find-lr DATA"


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """What a training was set to, resolved: nothing is 'auto'. ``network``: its own settings, by name.

    cases: how many train. learning_rate: the peak of the schedule. begins_trained: whether it began as a trained model.
    """

    optimizer_type: str
    learning_rate: float
    lr_schedule: str
    warmup_epochs: float
    weight_decay: float
    gradient_clip: float | None
    mixed_precision: bool
    batch_size: int
    augmentation: bool
    augmentation_strength: str
    foreground_oversampling: float
    case_sampling: str
    architecture: str
    network: Mapping[str, Any]
    loss: LossConfig
    epochs: int
    early_stopping: bool
    cases: int
    class_names: Sequence[str] = field(default_factory=tuple)
    begins_trained: bool = False

    @property
    def width(self) -> tuple[str, int] | None:
        """The setting that says how much the network can hold, and its value."""
        return next(((name, self.network[name]) for name in WIDTHS if name in self.network), None)


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change to try. ``setting`` is empty where it is something to do instead: then ``suggested`` says what.

    A setting that was given before in the same list is another way to the same end, not a second change.
    """

    setting: str
    current: str
    suggested: str
    why: str


def facts_of(config: TrainConfig, plan: Plan, cases: int) -> TrainingFacts:
    """The facts of a training of ``cases`` cases with this configuration and its plan."""
    data, trainer = config.data, config.trainer
    return TrainingFacts(
        optimizer_type=plan.optimizer_type, learning_rate=plan.learning_rate, lr_schedule=plan.lr_schedule,
        warmup_epochs=plan.warmup_epochs, weight_decay=plan.weight_decay, gradient_clip=plan.gradient_clip,
        mixed_precision=plan.mixed_precision, batch_size=plan.batch_size, augmentation=data.augmentation,
        augmentation_strength=data.augmentation_strength, foreground_oversampling=plan.oversampling(data),
        case_sampling=data.case_sampling, architecture=plan.architecture,
        network=network_settings(plan.architecture, plan.network), loss=plan.loss, epochs=plan.epochs,
        early_stopping=trainer.early_stopping, cases=cases, class_names=plan.class_names,
        begins_trained=bool(config.start.model),
    )  # fmt: skip


def text(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(text(item) for item in value)}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def assignments(remedies: Sequence[Remedy]) -> list[str]:
    """``key=value`` of every setting, of several ways to the same end the first: what to train again with."""
    chosen: dict[str, str] = {}
    for remedy in remedies:
        if remedy.setting:
            chosen.setdefault(remedy.setting, remedy.suggested)
    return [f"{setting}={value}" for setting, value in chosen.items()]


# --- By finding; each yields what the guide lists, in its order ---


def too_fast(facts: TrainingFacts) -> Iterator[Remedy]:
    """Guide, "Issue 1: Loss is NaN" and "Unstable Training"."""
    rate = min(facts.learning_rate / 10, RATE_RANGE[facts.optimizer_type][1])
    yield _change("learning_rate", facts.learning_rate, rate, "smaller steps do not jump over the solution")
    if facts.gradient_clip is None or facts.gradient_clip > CLIP:
        yield _change("gradient_clip", facts.gradient_clip, CLIP, "a single bad patch cannot throw the network off")
    if facts.warmup_epochs < 1:
        epochs = max(1, min(10, round(facts.epochs / 20)))
        yield _change("warmup_epochs", facts.warmup_epochs, epochs, "the first steps are the most dangerous ones")
    if facts.mixed_precision:
        yield _change("mixed_precision", True, False, "16-bit numbers overflow early")
    yield _action("check the images for extreme intensities", "one outlier can make the loss explode")


def too_slow(facts: TrainingFacts) -> Iterator[Remedy]:
    """Guide, "Issue 2: Model Not Learning", where the learning rate is the reason."""
    rate = _faster(facts)
    if rate > facts.learning_rate:
        yield _change("learning_rate", facts.learning_rate, rate, "larger steps; now the weights barely move")
    yield _action(FIND_RATE, "measures which learning rate suits this data and network")


def not_learning(facts: TrainingFacts) -> Iterator[Remedy]:
    """Guide, "Issue 2: Model Not Learning"."""
    yield from too_slow(facts)
    if is_rate_below_range(facts):
        return
    yield from check_labels(facts)
    yield from _overlap_loss(facts)
    yield from _wider(facts)


def check_labels(facts: TrainingFacts) -> Iterator[Remedy]:
    """Guide, "Issue 2", "Verify data is correct"."""
    yield _action(LOOK, "in the report and in JOB/previews: the outline of the labels must follow the structure")
    yield _action(
        "check that each label map belongs to its image",
        "in Slicer, load both: same patient, same position, same orientation, same label values in every case",
    )


def more_regular(facts: TrainingFacts) -> Iterator[Remedy]:
    """Guide, "Issue 3: Overfitting"."""
    if not facts.augmentation:
        yield _change("augmentation", False, True, "every patch is seen in another variation each time")
    if facts.augmentation_strength != "strong":
        yield _change("augmentation_strength", facts.augmentation_strength, "strong", "wider variations")
    decay = _stronger_decay(facts)
    if decay > facts.weight_decay:
        yield _change("weight_decay", facts.weight_decay, decay, "large weights, which learn by heart, are held back")
    if not facts.early_stopping and facts.epochs > PATIENCE:
        yield _change("early_stopping", False, True, "stops when the held-out cases gain no more")
        yield _change("patience", "auto", PATIENCE, "epochs to wait for an improvement")
    dropout = facts.network.get("dropout")
    if dropout is not None and dropout < MOST_DROPOUT:
        more = DROPOUT if dropout < DROPOUT else MOST_DROPOUT
        yield _change("dropout", dropout, more, "no single feature map can be relied on")
    if facts.width and facts.width[0] == "base_channels" and facts.width[1] >= NARROW:
        yield _change("base_channels", facts.width[1], facts.width[1] // 2, "a smaller network remembers less")
    yield _action("add labelled cases", f"{facts.cases} train now; nothing helps as much as other patients")


def more_capacity(facts: TrainingFacts) -> Iterator[Remedy]:
    """Guide, "Underfitting": "Model capacity too small"."""
    yield from _wider(facts)
    if facts.network.get("dropout"):
        yield _change("dropout", facts.network["dropout"], 0.0, "every feature map is needed")
    if facts.augmentation and facts.augmentation_strength == "strong":
        yield _change("augmentation_strength", "strong", "standard", "an easier task")
    if facts.weight_decay > max(DECAY, WEIGHT_DECAY[facts.optimizer_type][1]) and facts.optimizer_type != "AdamW":
        yield _change("weight_decay", facts.weight_decay, DECAY, "weights are held back less")
    if not _can_be_wider(facts):
        yield from more_time(facts)


def more_time(facts: TrainingFacts) -> Iterator[Remedy]:
    """Guide, "Issue 4: Poor Convergence", where it is only slow."""
    yield _change("epochs", facts.epochs, 2 * facts.epochs, "or twice the time budget (--budget)")


def converge(facts: TrainingFacts) -> Iterator[Remedy]:
    """Guide, "Issue 4: Poor Convergence"."""
    yield _action(FIND_RATE, "measures which learning rate suits this data and network")
    if facts.lr_schedule in ("constant", "step"):
        yield _change("lr_schedule", facts.lr_schedule, "plateau", "the rate falls where the validation loss stops")
    if facts.optimizer_type == "SGD":
        yield _change("optimizer_type", "SGD", "Adam", "usually the fastest")
        if facts.learning_rate != TYPICAL_RATE["Adam"]:
            yield _change("learning_rate", facts.learning_rate, TYPICAL_RATE["Adam"], "the usual rate of Adam")
    if facts.network.get("norm") == "batch":
        yield _change(
            "network.norm", "batch", "group", f"does not depend on the batch, which is {facts.batch_size} here"
        )
    yield from _wider(facts)
    yield from more_time(facts)


def balance(facts: TrainingFacts) -> Iterator[Remedy]:
    """Guide, "Issue 5: Class Imbalance"."""
    yield from _overlap_loss(facts)
    weights, terms = facts.loss.class_weights, facts.loss.weights()
    takes_weights = any(LOSS_TERMS[term].class_weights == "class_weights" for term in terms)
    if takes_weights and (weights is None or not _favours_structures(weights)):
        yield _change("class_weights", None, "auto", "rare structures weigh more, from the voxels in the data")
    if "focal" not in terms:
        numbers = f"alpha {text(facts.loss.alpha)}, gamma {text(facts.loss.gamma)}"
        why = f"another way: turns to the voxels that are still wrong ({numbers})"
        yield _change("loss_type", facts.loss.loss_type, "focal", why)
    if facts.foreground_oversampling < OVERSAMPLING:
        why = "more patches are centred on a structure, each as often as the others"
        yield _change("foreground_oversampling", facts.foreground_oversampling, OVERSAMPLING, why)
    if facts.case_sampling != "weighted" and len(facts.class_names) > 1:
        yield _change("case_sampling", facts.case_sampling, "weighted", "cases with rare structures come more often")


REMEDIES: dict[str, Callable[[TrainingFacts], Iterator[Remedy]]] = {
    "unstable": too_fast,
    "not_learning": not_learning,
    "labels": check_labels,
    "overfitting": more_regular,
    "underfitting": more_capacity,
    "plateau": converge,
    "unfinished": more_time,
    "only_background": balance,
    "class_at_zero": balance,
    "healthy": lambda facts: iter(()),
}


def is_rate_below_range(facts: TrainingFacts) -> bool:
    return facts.learning_rate < RATE_RANGE[facts.optimizer_type][0]


def _favours_structures(weights: Any) -> bool:
    """Whether no structure weighs less than the background."""
    return isinstance(weights, str) or min(weights[1:], default=0) >= weights[0]


def _faster(facts: TrainingFacts) -> float:
    """Ten times the rate within the guide's range; from below it, what is usual for the network."""
    low, high = RATE_RANGE[facts.optimizer_type]
    if facts.learning_rate < low:
        return choose_rate(facts.architecture, facts.optimizer_type)[0]
    return min(10 * facts.learning_rate, high)


def _stronger_decay(facts: TrainingFacts) -> float:
    if facts.weight_decay < DECAY:
        return DECAY
    return min(MOST_DECAY, 5 * facts.weight_decay) if facts.optimizer_type == "AdamW" else facts.weight_decay


def _overlap_loss(facts: TrainingFacts) -> Iterator[Remedy]:
    """A Dice term, which a large background does not outweigh."""
    terms, kind = facts.loss.weights(), facts.loss.loss_type
    if "dice" not in terms:
        yield _change(
            "loss_type", kind, "dice", "measures the overlap: a large background cannot hide a missed structure"
        )


def _wider(facts: TrainingFacts) -> Iterator[Remedy]:
    if facts.width is None:
        return
    name, value = facts.width
    wider = 2 * value if name == "embed_dim" else max(LEAST_CHANNELS, min(MOST_CHANNELS, 2 * value))
    if wider > value:
        yield _change(name, value, wider, "a larger network can hold more")


def _can_be_wider(facts: TrainingFacts) -> bool:
    return next(_wider(facts), None) is not None


def _change(setting: str, current: Any, suggested: Any, why: str) -> Remedy:
    return Remedy(setting=setting, current=text(current), suggested=text(suggested), why=why)


def _action(what: str, why: str) -> Remedy:
    return Remedy(setting="", current="", suggested=what, why=why)
