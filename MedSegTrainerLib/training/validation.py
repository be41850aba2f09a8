"""Scores and loss of whole validation volumes in training, on the network's grid, all of one pass through the network.

The loss has a form that can be compared from epoch to epoch and costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import SimpleITK as sitk
import torch

from MedSegTrainerLib.config.logged_metrics import LOGGED_METRICS, MEAN_DICE
from MedSegTrainerLib.config.plan import LabelCode, Plan
from MedSegTrainerLib.data.samples.cache import StoredCase
from MedSegTrainerLib.data.samples.neighbour_slices import with_neighbours
from MedSegTrainerLib.data.samples.patches import classes_in
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.hardware.device import Precision, to_device
from MedSegTrainerLib.hardware.distributed import ALONE, Ranks
from MedSegTrainerLib.hardware.memory import free_memory, is_out_of_memory
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical
from MedSegTrainerLib.inference.memory_fallback import Placement, lighter
from MedSegTrainerLib.inference.sliding_window import predict_volume
from MedSegTrainerLib.inference.window_layout import layout_of
from MedSegTrainerLib.losses.overlapping_loss import state_table
from MedSegTrainerLib.losses.plan_loss import plan_loss
from MedSegTrainerLib.metrics.counts import Overlap
from MedSegTrainerLib.metrics.metrics import METRICS
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.forward import to_channels_last, window_forward
from MedSegTrainerLib.training.overlapping_scores import binary_tables, label_bits, predicted_bits
from MedSegTrainerLib.training.previews import Preview

OVERLAP = 0.25  # less than when applying: half the time, nearly the same Dice
NAMES_LISTED, LONGEST_NAME = 10, 80  # of cases, in a message
PER_CLASS = {name: metric for name, metric in LOGGED_METRICS.items() if metric.of_class}

Values = dict[str, float | None]
UNKNOWN: Values = {metric.of_class: None for metric in PER_CLASS.values()}


@dataclass(frozen=True, kw_only=True)
class CaseScores:
    """One case. ``classes``: class to key of ``metrics.METRICS`` to value; table: of ``confusion_table``, or where
    classes overlap ``binary``, a table for each as ``binary_tables`` gives them.

    Voxels that nobody labelled do not count; a case without any other has no loss. Classes that nobody looked for in
    the case have no values.
    """

    classes: dict[str, Values]
    table: list[list[int]]
    loss: float | None
    binary: tuple[list[list[int]], ...] = ()

    @property
    def tables(self) -> list[list[list[int]]]:
        """What is right and wrong: of all classes at once, or of one after the other."""
        return list(self.binary) or [self.table]

    def has(self, index: int) -> bool:
        """Whether the class is in the reference; 1 is the first one."""
        return any(self.binary[index - 1][1] if self.binary else self.table[index])


@dataclass(frozen=True, kw_only=True)
class ValidationScores:
    """``per_class``: mean Dice over the cases, None for a class that no case has: it counts in no mean over classes.

    mean: that of ``per_class``, None where no case has any class. metrics: those of ``LOGGED_METRICS`` that are no
    epoch's; of those of classes the mean over the classes, and each class (val_dice/NAME, ...). preview: of the
    selected case, None without cases.
    """

    per_case: dict[str, Values]
    per_class: Values
    mean: float | None
    zero_classes: tuple[str, ...]
    metrics: Values
    preview: Preview | None = field(default=None, compare=False)


class Validator:
    """The validation cases and a copy of the network that weights are scored with."""

    def __init__(
        self,
        cases: Sequence[StoredCase],
        plan: Plan,
        device: torch.device,
        *,
        overlap: float = OVERLAP,
        warn: Callable[[str], None] = lambda message: None,
        ranks: Ranks = ALONE,
    ) -> None:
        """``warn`` gets a message where memory ran out and volumes are scored with less from then on. Each of several
        ranks scores a part of the cases."""
        self.cases, self.plan, self.overlap, self.warn, self.ranks = cases, plan, overlap, warn, ranks
        self.selected = case_to_show(cases)
        self.refused = ""  # the requested name that was last warned of
        self.placement = Placement(device=device, plans=(plan,))
        self._place_on(self.placement)

    def show(self, name: str | None) -> None:
        """From now on the preview is of this case; None changes nothing, nor does a name that no held-out case has."""
        if name in {case.name for case in self.cases}:
            self.selected = name
        elif self.cases and name is not None and name != self.refused:
            self.refused = name
            some = ", ".join(case.name for case in self.cases[:NAMES_LISTED])
            self.warn(
                f"previews/case.json asks for {name[:LONGEST_NAME]!r}, which is no held-out case of this training. The "
                f"preview goes on with {self.selected}. Ask for one of the {len(self.cases)} that are: {some}."
            )

    def follow(self, plan: Plan) -> None:
        """From now on in the windows of this plan: training itself went on with smaller ones."""
        self.plan, self.placement = plan, replace(self.placement, plans=(plan,))

    @torch.inference_mode()
    def score(self, weights: dict[str, torch.Tensor], on_case: Callable[[], None] = lambda: None) -> ValidationScores:
        """Scores of these weights; ``on_case`` is called after each case. Of several ranks only the first one gets the
        preview."""
        self.network.load_state_dict(weights)
        scores, preview = {}, None
        selected_first = sorted(self.cases, key=lambda case: case.name != self.selected)
        for case in selected_first[self.ranks.rank :: self.ranks.count]:
            scores[case.name], case_preview = self._score_case(case, weights)
            preview = case_preview or preview
            on_case()
        all_scores = {name: score for part in self.ranks.gather(scores) for name, score in part.items()}
        return summarise({case.name: all_scores[case.name] for case in self.cases}, self.plan.class_names, preview)

    def _score_case(self, case: StoredCase, weights: dict[str, torch.Tensor]) -> tuple[CaseScores, Preview | None]:
        """Scores of one case and, of the selected one, its preview; with less memory where it ran out."""
        while True:
            try:
                logits = self._logits(case)
                reference = to_device(case.label, logits.device)
                if self.plan.overlapping:
                    predicted = predicted_bits(logits)
                    scores = self._overlapping_scores(logits, reference, case.unknown)
                else:
                    predicted = logits.max(dim=0).indices  # argmax over the first axis takes ten times as long on a CPU
                    scores = self._case_scores(logits, predicted, reference, case.unknown)
                preview = _preview(case, predicted, self.plan) if case.name == self.selected else None
                return scores, preview
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            logits = predicted = reference = None  # type: ignore[assignment]  # they hold memory, as the error does
            self._need_less(weights)

    def _logits(self, case: StoredCase) -> torch.Tensor:
        plan, device = self.placement.plans[0], self.placement.device
        return predict_volume(
            with_neighbours(to_device(case.image.to(torch.float32), device), plan.neighbour_slices),
            window_forward(self.network, plan, self.precision),
            classes=plan.out_channels,
            patch=plan.patch_size,
            overlap=self.overlap,
            batch=max(1, plan.batch_size // self.ranks.count),
            keep_on=self.placement.sums_on,
            layout=layout_of(plan),
        )

    def _place_on(self, placement: Placement) -> None:
        plan = self.plan
        self.placement = placement
        self.network = build_network(plan.architecture, plan.network).to(placement.device).eval()
        if plan.channels_last:
            self.network = to_channels_last(self.network, plan.dims)
        self.precision = Precision(placement.device, plan.mixed_precision)
        self.loss = ValidationLoss(plan, placement.device)

    def _need_less(self, weights: dict[str, torch.Tensor]) -> None:
        """The next lighter placement; raises TrainingError where there is none."""
        free_memory(self.placement.device)
        fallback = lighter(self.placement, [self.plan])
        if fallback is None:
            raise TrainingError(
                "Memory ran out while held-out volumes were judged, and nothing can be made smaller. The best model so "
                "far is kept. Close other programs, or use a smaller network."
            )
        placement, message = fallback
        self.warn(f"Memory ran out while held-out volumes were judged. {message}")
        if placement.device != self.placement.device:
            self._place_on(placement)
            self.network.load_state_dict(weights)
        self.placement = placement
        self.loss = ValidationLoss(self.plan, placement.sums_on or placement.device)

    def _case_scores(
        self, logits: torch.Tensor, predicted: torch.Tensor, reference: torch.Tensor, unknown: Sequence[int]
    ) -> CaseScores:
        table = confusion_table(predicted, reference, len(self.plan.classes) + 1, self.plan.label_codes)
        names = enumerate(self.plan.class_names, start=1)
        return CaseScores(
            classes={name: UNKNOWN if index in unknown else _class_scores(table, index) for index, name in names},
            table=table,
            loss=float(self.loss(logits, reference)) if any(map(any, table)) else None,
        )

    def _overlapping_scores(self, logits: torch.Tensor, reference: torch.Tensor, unknown: Sequence[int]) -> CaseScores:
        states = state_table(self.plan.label_codes, len(self.plan.classes), logits.device)
        tables = binary_tables(logits, reference, states)
        names = enumerate(self.plan.class_names, start=1)
        return CaseScores(
            classes={name: UNKNOWN if i in unknown else _class_scores(tables[i - 1], 1) for i, name in names},
            table=[],
            loss=float(self.loss(logits, reference)) if any(any(map(any, table)) for table in tables) else None,
            binary=tables,
        )


def case_to_show(cases: Sequence[StoredCase]) -> str | None:
    """The case with the most classes; of several the smallest, which costs the least to write."""

    def rank(case: StoredCase) -> tuple[int, int, str]:
        return -len(classes_in(case)), case.label.numel(), case.name

    return min(cases, key=rank).name if cases else None


def confusion_table(
    predicted: torch.Tensor, reference: torch.Tensor, count: int, codes: Sequence[LabelCode] = ()
) -> list[list[int]]:
    """Voxels by class of the reference (rows) and of the prediction (columns); those below 0 are left out.

    count: of the classes, with the background. Where a voxel without class may be one of several, as ``codes`` say of
    the numbers beyond the classes, it counts as background, and so does the prediction of one of them there.
    """
    rows = count + len(codes) + 1
    joint = torch.bincount(((reference.long() + 1) * count + predicted).flatten(), minlength=rows * count)
    counted: list[list[int]] = joint.view(rows, count).tolist()
    table = counted[1 : count + 1]
    for code, row in zip(codes, counted[count + 1 :], strict=True):
        for index, voxels in enumerate(row):
            table[0][0 if index in code.unknown else index] += voxels
    return table


def summarise(
    cases: Mapping[str, CaseScores], classes: Sequence[str], preview: Preview | None = None
) -> ValidationScores:
    """Means over cases, then over classes: a class that is never found pulls the mean down, not out of sight.

    One that no case has cannot be found: nothing is said of it but its precision, 0 where the network finds it.
    """
    tables = [table for case in cases.values() for table in case.tables]
    metrics: Values = {"val_loss": _mean(case.loss for case in cases.values())}
    metrics |= {name: metric.of_cases(tables) for name, metric in LOGGED_METRICS.items() if metric.of_cases}
    present = [name for index, name in enumerate(classes, start=1) if any(case.has(index) for case in cases.values())]
    per_class: dict[str, Values] = {}
    for logged, metric in PER_CLASS.items():
        values = {name: _mean(case.classes[name][metric.of_class] for case in cases.values()) for name in classes}
        if not metric.absent_counts:
            values.update((name, None) for name in classes if name not in present)
        metrics[logged] = _mean(values[name] for name in present)
        metrics |= {f"{logged}/{name}": value for name, value in values.items()}
        per_class[logged] = values
    dice = per_class[MEAN_DICE]
    return ValidationScores(
        per_case={name: {key: value["dice"] for key, value in case.classes.items()} for name, case in cases.items()},
        per_class=dice,
        mean=metrics[MEAN_DICE],
        zero_classes=tuple(name for name, value in dice.items() if value == 0),
        metrics=metrics,
        preview=preview,
    )


def _class_scores(table: Sequence[Sequence[int]], index: int) -> Values:
    overlap = Overlap(
        intersection=table[index][index],
        predicted=sum(row[index] for row in table),
        reference=sum(table[index]),
        voxels=sum(map(sum, table)),
        voxel_ml=0.0,
    )
    return {metric.of_class: METRICS[metric.of_class].measure(overlap) for metric in PER_CLASS.values()}


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _preview(case: StoredCase, predicted: torch.Tensor, plan: Plan) -> Preview:
    """As those who look at it want it: canonical axes in the order z, y, x, whatever the network sees first; no class
    where nobody knows which."""
    if plan.overlapping:
        label, prediction = label_bits(case.label, plan).cpu().numpy(), predicted.cpu().numpy()
    else:
        label, prediction = case.label.cpu().numpy(), predicted.to(torch.int16).cpu().numpy()
        label = np.where(label > len(plan.classes), 0, label)
    arrays = case.image[0].cpu().float().numpy(), label, prediction
    images = [to_canonical(case.geometry.place(array)) for array in arrays]
    image, reference, prediction = map(sitk.GetArrayFromImage, images)
    geometry = Geometry.of(images[0])
    return Preview(
        name=case.name,
        image=image,
        reference=reference,
        prediction=prediction,
        geometry=geometry,
        overlapping=plan.overlapping,
    )


LARGEST = 1 << 25  # logits that the loss looks at: 128 MB, and what it works out from them some times as much


class ValidationLoss:
    """The training loss at full resolution, of a volume as one sample, without the boundary term: that grows while
    training (``segmentation_loss.ramped_weights``), so the loss would change though the network did not.

    Where classes times voxels are more than ``largest``, voxels spread over the whole volume stand for all of
    them, in each epoch the same.
    """

    def __init__(self, plan: Plan, device: torch.device, largest: int = LARGEST) -> None:
        self.classes, self.largest = plan.out_channels, largest
        self.loss = plan_loss(plan, device)  # its ramp stays at 0

    def __call__(self, logits: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Scalar loss of float32 logits (classes, z, y, x) against class indices (z, y, x); below 0: not counted."""
        if logits.numel() > self.largest:
            logits, reference = self._sample(logits.flatten(1), reference.flatten())
        return self.loss([logits[None]], reference[None])

    def _sample(self, logits: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (classes, 1, 1, n) and class indices (1, 1, n): one voxel at a random place of each stride."""
        valid = torch.nonzero(reference >= 0)[:, 0] if reference.min() < 0 else None
        count = reference.numel() if valid is None else valid.numel()
        stride = max(1, -(-count * self.classes // self.largest))
        starts = torch.arange(0, count - stride + 1, stride)
        chosen = starts + torch.randint(stride, starts.shape, generator=torch.Generator().manual_seed(0))
        chosen = to_device(chosen, logits.device)
        positions = chosen if valid is None else valid[chosen]
        return logits[:, None, None, positions], reference[None, None, positions]
