"""Scores of held-out volumes while training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MedSegTrainerLib.config.logged_metrics import LOGGED_METRICS, monitored_names
from MedSegTrainerLib.config.plan import LabelCode, Plan
from MedSegTrainerLib.data.samples.cache import CachedCase
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.losses.segmentation_loss import build_loss
from MedSegTrainerLib.metrics.metrics import dice_from_counts
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.training.validation import (
    CaseScores,
    ValidationScores,
    Validator,
    Values,
    case_to_show,
    confusion_table,
    summarise,
)

Weights = dict[str, torch.Tensor]


def case(name: str, seed: int, size: tuple[int, int, int] = (5, 19, 14)) -> CachedCase:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn((1, *size), generator=generator)
    label = torch.randint(0, 3, size, generator=generator, dtype=torch.uint8)
    geometry = Geometry(size=(size[2], size[1], size[0]), spacing=(0.8, 1.1, 2.5), origin=(-5.0, 3.0, 9.0))
    locations = torch.zeros((0, 4), dtype=torch.int32)
    return CachedCase(name=name, image=image, label=label, locations=locations, geometry=geometry)


def fresh_weights(plan: Plan) -> Weights:
    torch.manual_seed(6)
    return build_network(plan.architecture, plan.network).state_dict()


def always(plan: Plan, index: int) -> Weights:
    """Weights that give every voxel to one class."""
    weights = fresh_weights(plan)
    weights["heads.0.weight"].zero_()
    weights["heads.0.bias"].zero_()[index] = 1.0
    return weights


def flat(plan: Plan) -> Plan:
    network = {**plan.network, "dims": 2, "strides": [[1, 1], [2, 2]], "kernels": [[3, 3], [3, 3]]}
    return replace(plan, dims=2, patch_size=(1, 8, 12), network=network)


def judged_dice(one: CachedCase) -> float:
    """Where all of it is called a kidney."""
    count = int((one.label == 1).sum())
    return 2 * count / (count + one.label.numel())


class TestScore:
    def test_a_constant_prediction_by_hand(self, tiny_plan: Plan, cpu: torch.device) -> None:
        one = case("a", 1)
        scores = Validator([one], tiny_plan, cpu).score(always(tiny_plan, 2))
        cysts = int((one.label == 2).sum())
        expected = 2 * cysts / (cysts + one.label.numel())
        assert scores.per_case["a"] == {"kidney": 0.0, "cyst": pytest.approx(expected)}
        assert scores.mean == pytest.approx(expected / 2)

    def test_a_class_stuck_at_zero_is_named_and_pulls_the_mean_down(self, tiny_plan: Plan, cpu: torch.device) -> None:
        scores = Validator([case("a", 1), case("b", 2)], tiny_plan, cpu).score(always(tiny_plan, 2))
        assert scores.zero_classes == ("kidney",)
        assert scores.per_class["kidney"] == 0
        assert scores.mean == pytest.approx((scores.per_class["cyst"] or 0) / 2)

    @pytest.mark.parametrize("dims", [2, 3])
    @pytest.mark.parametrize("channels_last", [False, True])
    def test_volumes_in_one_window_agree_with_metrics(
        self, tiny_plan: Plan, cpu: torch.device, dims: int, channels_last: bool
    ) -> None:
        plan = replace(tiny_plan if dims == 3 else flat(tiny_plan), channels_last=channels_last)
        one = case("a", 3, size=(4, 8, 12))
        weights = fresh_weights(plan)
        network = build_network(plan.architecture, plan.network).eval()
        network.load_state_dict(weights)
        with torch.no_grad():
            image = one.image[None] if dims == 3 else one.image.transpose(0, 1)
            logits = network(image)[0]
        predicted = (logits[0].argmax(0) if dims == 3 else logits.argmax(1)).numpy()
        reference = one.label.numpy()
        scores = Validator([one], plan, cpu).score(weights)
        for index, name in enumerate(plan.class_names, start=1):
            both = np.logical_and(predicted == index, reference == index).sum()
            expected = dice_from_counts(float(both), (predicted == index).sum(), (reference == index).sum())
            assert scores.per_case["a"][name] == pytest.approx(expected)
        assert len(np.unique(predicted)) > 1

    def test_slices_with_their_neighbours(self, tiny_plan: Plan, cpu: torch.device) -> None:
        """Each slice gets what a network makes of it and the slices beside it, one by one."""
        plan = flat(tiny_plan)
        plan = replace(plan, neighbour_slices=1, network={**plan.network, "in_channels": 3})
        one, weights = case("a", 3, size=(4, 8, 12)), fresh_weights(plan)
        network = build_network(plan.architecture, plan.network).eval()
        network.load_state_dict(weights)
        beside = [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
        with torch.no_grad():
            predicted = torch.stack([network(one.image[0, z][None])[0][0].argmax(0) for z in beside])
        scores = Validator([one], plan, cpu).score(weights)
        assert scores.preview is not None
        assert np.array_equal(scores.preview.prediction, predicted.numpy())
        assert len(torch.unique(predicted)) > 1

    def test_other_weights_other_result(self, tiny_plan: Plan, cpu: torch.device) -> None:
        validator = Validator([case("a", 1)], tiny_plan, cpu)
        first = validator.score(always(tiny_plan, 1))
        assert validator.score(always(tiny_plan, 2)).per_class != first.per_class
        assert validator.score(always(tiny_plan, 1)) == first

    def test_tells_after_each_case(self, tiny_plan: Plan, cpu: torch.device) -> None:
        calls: list[int] = []
        Validator([case("a", 1), case("b", 2)], tiny_plan, cpu).score(always(tiny_plan, 1), lambda: calls.append(1))
        assert len(calls) == 2


class TestMetrics:
    def test_by_hand(self, tiny_plan: Plan, cpu: torch.device) -> None:
        """Everything is called a cyst."""
        cases = [case("a", 1), case("b", 2, size=(3, 8, 9))]
        metrics = Validator(cases, tiny_plan, cpu).score(always(tiny_plan, 2)).metrics
        shares = [float((one.label == 2).double().mean()) for one in cases]
        assert metrics["val_accuracy"] == pytest.approx(sum(shares) / 2)
        assert metrics["val_iou/cyst"] == metrics["val_precision/cyst"] == pytest.approx(sum(shares) / 2)
        assert (metrics["val_recall/cyst"], metrics["val_recall/kidney"], metrics["val_recall"]) == (1, 0, 0.5)
        assert metrics["val_precision/kidney"] is None
        assert metrics["val_precision"] == metrics["val_precision/cyst"]
        voxels = sum(one.label.numel() for one in cases)
        assert metrics["val_foreground"] == pytest.approx(voxels / sum(int((one.label > 0).sum()) for one in cases))

    def test_dice_is_the_same_everywhere(self, tiny_plan: Plan, cpu: torch.device) -> None:
        scores = Validator([case("a", 1), case("b", 2)], tiny_plan, cpu).score(fresh_weights(tiny_plan))
        assert scores.metrics["val_dice"] == scores.mean
        assert {name: scores.metrics[f"val_dice/{name}"] for name in tiny_plan.class_names} == scores.per_class

    def test_every_metric_that_can_be_monitored_is_there(self, tiny_plan: Plan, cpu: torch.device) -> None:
        metrics = Validator([case("a", 1)], tiny_plan, cpu).score(fresh_weights(tiny_plan)).metrics
        names = monitored_names(tiny_plan.class_names)
        assert {name for name in names if not LOGGED_METRICS[name.partition("/")[0]].of_epoch} <= metrics.keys()

    def test_the_loss_is_the_mean_of_the_cases(self, tiny_plan: Plan, cpu: torch.device) -> None:
        weights, cases = fresh_weights(tiny_plan), [case("a", 1, size=(4, 8, 12)), case("b", 2, size=(2, 8, 12))]
        single = [Validator([one], tiny_plan, cpu).score(weights).metrics["val_loss"] or 0.0 for one in cases]
        assert single[0] != single[1]
        both = Validator(cases, tiny_plan, cpu).score(weights).metrics["val_loss"]
        assert both == pytest.approx(sum(single) / 2)

    def test_unlabelled_voxels_change_nothing(self, tiny_plan: Plan, cpu: torch.device) -> None:
        """One label map without its last rows, and the same volume judged on the others by hand."""
        one = case("a", 1, size=(4, 8, 12))
        weights = fresh_weights(tiny_plan)
        sparse = one.label.to(torch.int16)
        sparse[:, 5:] = -1
        scores = Validator([replace(one, label=sparse)], tiny_plan, cpu).score(weights)
        network = build_network(tiny_plan.architecture, tiny_plan.network).eval()
        network.load_state_dict(weights)
        with torch.no_grad():
            logits = network(one.image[None])[0][0, :, :, :5]
        predicted, reference = logits.argmax(0), one.label[:, :5]
        assert scores.metrics["val_accuracy"] == pytest.approx(float((predicted == reference).double().mean()))
        both = int(((predicted == 1) & (reference == 1)).sum())
        expected = dice_from_counts(both, int((predicted == 1).sum()), int((reference == 1).sum()))
        assert scores.per_class["kidney"] == pytest.approx(expected)
        loss = build_loss(tiny_plan.loss, 3, cpu)([logits[None]], reference[None])
        assert scores.metrics["val_loss"] == pytest.approx(float(loss), rel=1e-5)

    def test_a_case_without_any_label_is_unknown(self, tiny_plan: Plan, cpu: torch.device) -> None:
        empty = replace(case("a", 1), label=torch.full((5, 19, 14), -1, dtype=torch.int16))
        scores = Validator([empty], tiny_plan, cpu).score(fresh_weights(tiny_plan))
        assert set(scores.metrics.values()) == {None}
        assert scores.mean is None

    def test_a_class_that_no_case_has_counts_nowhere(self, tiny_plan: Plan, cpu: torch.device) -> None:
        """Everything is called a cyst, which is not there: only its precision says so."""
        one = case("a", 1)
        alone = replace(one, label=one.label.clamp(max=1))
        scores = Validator([alone], tiny_plan, cpu).score(always(tiny_plan, 2))
        assert scores.per_class == {"kidney": 0, "cyst": None} and scores.zero_classes == ("kidney",)
        assert scores.metrics["val_iou/cyst"] is None and scores.metrics["val_precision/cyst"] == 0
        right = Validator([alone], tiny_plan, cpu).score(always(tiny_plan, 1))
        assert right.mean == right.per_class["kidney"] == judged_dice(alone)
        assert right.metrics["val_recall"] == 1

    def test_a_class_that_some_case_has_counts_in_all(self, tiny_plan: Plan, cpu: torch.device) -> None:
        one = case("a", 1)
        alone = replace(one, name="b", label=one.label.clamp(max=1))
        scores = Validator([one, alone], tiny_plan, cpu).score(always(tiny_plan, 2))
        assert scores.per_class["cyst"] == pytest.approx((scores.per_case["a"]["cyst"] or 0) / 2)

    def test_without_cases(self, tiny_plan: Plan, cpu: torch.device) -> None:
        scores = Validator([], tiny_plan, cpu).score(fresh_weights(tiny_plan))
        assert scores.preview is None and scores.metrics["val_loss"] is None


class TestClassesThatWereNotDrawn:
    """In the first case the cyst was drawn, in the second nobody looked for it."""

    @pytest.fixture
    def plan(self, tiny_plan: Plan) -> Plan:
        return replace(tiny_plan, label_codes=(LabelCode(unknown=(2,)),))

    @pytest.fixture
    def known(self) -> CachedCase:
        return case("a", 1)

    @pytest.fixture
    def partly(self) -> CachedCase:
        """Its kidney as it is; all else may be background or cyst."""
        one = case("b", 2)
        label = torch.where(one.label == 1, one.label, torch.full_like(one.label, 3))
        return replace(one, label=label, unknown=(2,))

    def test_a_class_counts_where_it_was_looked_for(
        self, plan: Plan, known: CachedCase, partly: CachedCase, cpu: torch.device
    ) -> None:
        """Everything is called a cyst: in the second case this tells of the kidney alone."""
        both, one = (Validator(cases, plan, cpu).score(always(plan, 2)) for cases in ([known, partly], [known]))
        assert both.per_class["cyst"] == one.per_class["cyst"]
        assert both.per_case["b"] == {"kidney": 0.0, "cyst": None}
        assert both.metrics["val_precision/cyst"] == one.metrics["val_precision/cyst"]
        assert both.metrics["val_recall/kidney"] == 0
        alone = Validator([partly], plan, cpu).score(always(plan, 2))
        assert alone.per_class == {"kidney": 0, "cyst": None} and alone.zero_classes == ("kidney",)
        assert alone.metrics["val_dice/cyst"] is None and alone.metrics["val_precision/cyst"] is None

    def test_free_voxels_are_right_as_no_class_and_wrong_as_a_known_one(
        self, plan: Plan, partly: CachedCase, cpu: torch.device
    ) -> None:
        kidney = int((partly.label == 1).sum())
        for index, expected in ((0, 0), (1, 2 * kidney / (kidney + partly.label.numel())), (2, 0)):
            scores = Validator([partly], plan, cpu).score(always(plan, index))
            assert scores.per_case["b"]["kidney"] == pytest.approx(expected)
            ratio = {0: 0.0, 1: partly.label.numel() / kidney, 2: 1.0}[index]  # the kidney's voxels taken for a cyst
            assert scores.metrics["val_foreground"] == pytest.approx(ratio)
            share = kidney / partly.label.numel()
            assert scores.metrics["val_accuracy"] == pytest.approx(share if index == 1 else 1 - share)

    def test_the_loss_is_the_marginal_one(self, plan: Plan, partly: CachedCase, cpu: torch.device) -> None:
        one = replace(partly, image=partly.image[:, :4, :8, :12], label=partly.label[:4, :8, :12])
        one = replace(one, geometry=replace(one.geometry, size=(12, 8, 4)))
        weights = fresh_weights(plan)
        network = build_network(plan.architecture, plan.network).eval()
        network.load_state_dict(weights)
        with torch.no_grad():
            logits = network(one.image[None])[0]
        expected = build_loss(plan.loss, 3, cpu, codes=plan.label_codes)([logits], one.label[None])
        assert Validator([one], plan, cpu).score(weights).metrics["val_loss"] == pytest.approx(
            float(expected), rel=1e-5
        )

    def test_a_case_of_free_voxels_alone_has_a_loss(self, plan: Plan, partly: CachedCase, cpu: torch.device) -> None:
        free = replace(partly, label=torch.full_like(partly.label, 3))
        scores = Validator([free], plan, cpu).score(always(plan, 0))
        assert scores.metrics["val_loss"] is not None and scores.metrics["val_accuracy"] == 1

    def test_the_preview_shows_nothing_where_nobody_knows(
        self, plan: Plan, partly: CachedCase, cpu: torch.device
    ) -> None:
        preview = Validator([partly], plan, cpu).score(always(plan, 0)).preview
        assert preview is not None
        assert np.array_equal(preview.reference, (partly.label == 1).numpy())


def test_what_was_taken_for_what() -> None:
    """Classes 1 to 3; 4 is free of all but 2 and 3, 5 of all but 3; -1 does not count."""
    reference = torch.tensor([0, 0, 1, 2, 4, 4, 4, 4, 5, 5, 5, -1, -1])
    predicted = torch.tensor([0, 3, 1, 3, 0, 1, 2, 3, 1, 2, 3, 1, 0])
    codes = (LabelCode(unknown=(2, 3)), LabelCode(unknown=(3,)))
    table = confusion_table(predicted, reference, 4, codes)
    assert table == [[5, 2, 1, 1], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    known = torch.tensor([0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, -1, -1])
    assert confusion_table(predicted, known, 4, codes) == confusion_table(predicted, known, 4) != table


class TestPreview:
    def test_is_the_prediction_on_its_grid(self, tiny_plan: Plan, cpu: torch.device) -> None:
        one = case("a", 3)
        preview = Validator([one], tiny_plan, cpu).score(always(tiny_plan, 2)).preview
        assert preview is not None and preview.name == "a" and preview.geometry == one.geometry
        assert preview.prediction.shape == one.label.shape and (preview.prediction == 2).all()
        assert np.array_equal(preview.reference, one.label.numpy())
        assert np.array_equal(preview.image, one.image[0].numpy())

    def test_of_the_smallest_case_with_the_most_classes(self) -> None:
        few, many, small = case("a", 1, size=(2, 3, 4)), case("b", 2), case("c", 3, size=(4, 9, 8))
        locations = [torch.tensor([[1, 0, 0, 0], [index, 0, 1, 0]], dtype=torch.int32) for index in (1, 2, 2)]
        cases = [replace(one, locations=voxels) for one, voxels in zip((few, many, small), locations, strict=True)]
        assert case_to_show(cases) == case_to_show(cases[::-1]) == "c"
        assert case_to_show([]) is None

    def test_is_of_that_case_whatever_comes_first(self, tiny_plan: Plan, cpu: torch.device) -> None:
        large, small = case("a", 1), case("b", 2, size=(2, 8, 9))
        preview = Validator([large, small], tiny_plan, cpu).score(fresh_weights(tiny_plan)).preview
        assert preview is not None and preview.name == "b" and preview.prediction.shape == (2, 8, 9)

    def test_is_of_the_case_that_was_asked_for(self, tiny_plan: Plan, cpu: torch.device) -> None:
        warnings: list[str] = []
        validator = Validator([case("a", 1), case("b", 2, size=(2, 8, 9))], tiny_plan, cpu, warn=warnings.append)
        weights = fresh_weights(tiny_plan)
        previewed: list[str] = []
        for name in ("a", None, "x" * 1000, "x" * 1000, "b"):
            validator.show(name)
            preview = validator.score(weights).preview
            assert preview is not None
            previewed.append(preview.name)
        assert previewed == ["a", "a", "a", "a", "b"]
        assert len(warnings) == 1 and len(warnings[0]) < 400 and "Ask for one of the 2 that are: a, b." in warnings[0]

    def test_without_cases_there_is_nothing_to_ask_for(self, tiny_plan: Plan, cpu: torch.device) -> None:
        warnings: list[str] = []
        Validator([], tiny_plan, cpu, warn=warnings.append).show("a")
        assert warnings == []


def test_the_overlap_of_the_windows_is_as_asked(tiny_plan: Plan, cpu: torch.device) -> None:
    one, weights = case("a", 1), fresh_weights(tiny_plan)
    losses = [Validator([one], tiny_plan, cpu, overlap=o).score(weights).metrics["val_loss"] for o in (0.25, 0.75)]
    assert losses[0] != losses[1]


class TestSummarise:
    def scores(self, **dice: float | None) -> CaseScores:
        classes: dict[str, Values] = {
            name: {"dice": value, "iou": value, "precision": value, "recall": value} for name, value in dice.items()
        }
        counts = [1, *(int(value is not None) for value in dice.values())]
        return CaseScores(classes=classes, table=np.diag(counts).tolist(), loss=1.0)

    def summary(self, *values: float | None) -> ValidationScores:
        return summarise({str(i): self.scores(kidney=value) for i, value in enumerate(values)}, ["kidney"])

    def test_cases_without_the_class_are_left_out(self) -> None:
        assert self.summary(0.8, None, 0.4).per_class == {"kidney": pytest.approx(0.6)}

    def test_a_class_of_no_case_is_unknown_and_not_zero(self) -> None:
        scores = summarise({"a": self.scores(kidney=0.5, cyst=None)}, ["kidney", "cyst"])
        assert scores.per_class == {"kidney": 0.5, "cyst": None}
        assert scores.mean == 0.5
        assert scores.zero_classes == ()

    def test_classes_weigh_alike_however_many_cases_have_them(self) -> None:
        cases = {"a": self.scores(kidney=1.0, cyst=0.2), "b": self.scores(kidney=0.8, cyst=None)}
        assert summarise(cases, ["kidney", "cyst"]).mean == pytest.approx((0.9 + 0.2) / 2)

    def test_nothing_known(self) -> None:
        assert self.summary(None).mean is None


class TestMemory:
    def refuse(self, validator: Validator, largest: int) -> None:
        """From now on the memory is too small for more voxels at a time."""

        def look(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            if given[0].numel() > largest:
                raise torch.OutOfMemoryError("CUDA out of memory")

        validator.network.register_forward_pre_hook(look)

    def test_smaller_windows_in_words_and_the_same_scores(self, tiny_plan: Plan, cpu: torch.device) -> None:
        one = case("a", 1, (9, 40, 30))
        plan = replace(tiny_plan, batch_size=4)
        warnings: list[str] = []
        validator = Validator([one], plan, cpu, warn=warnings.append)
        self.refuse(validator, 4 * 8 * 12)
        scores = validator.score(always(plan, 2))
        assert validator.placement.plans[0].batch_size == 1 and len(warnings) == 2
        assert "Memory ran out while held-out volumes were judged" in warnings[0]
        assert scores == Validator([one], plan, cpu).score(always(plan, 2))

    def test_nothing_left_to_make_smaller(self, tiny_plan: Plan, cpu: torch.device) -> None:
        validator = Validator([case("a", 1)], tiny_plan, cpu)
        self.refuse(validator, 0)
        with pytest.raises(TrainingError, match="nothing can be made smaller"):
            validator.score(always(tiny_plan, 2))
