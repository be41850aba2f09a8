"""Weights for other channels and classes: of every network, compared with what the model said before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.classes import classes_from_values
from MedSegTrainerLib.config.architectures import ARCHITECTURES, PLANNED
from MedSegTrainerLib.config.plan import Normalization, Plan
from MedSegTrainerLib.model.origins import Origins
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.training.start_weights import (
    SLACK,
    MergedRow,
    fitting,
    relative_logits,
    seen_above,
    stand_in,
    unfitting,
    with_channels,
    with_classes,
)

MARGIN = 6.0
DEEP: dict[str, Any] = {
    "dims": 3, "features": [4, 6, 8, 8], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]],
    "kernels": [[1, 3, 3], *[[3, 3, 3]] * 3], "blocks": [1] * 4, "deep_supervision": True,
}  # fmt: skip


@pytest.fixture
def plan_of(tiny_plan: Plan, small_parameters: Callable[[str], dict[str, Any]]) -> Callable[..., Plan]:
    """A plan of a registered network for some channels and classes."""

    def make(name: str, channels: int = 2, classes: int = 2, overlapping: bool = False) -> Plan:
        parameters = DEEP if name == PLANNED else small_parameters(name)
        outputs = classes + (not overlapping)
        return replace(
            tiny_plan,
            architecture=name,
            dims=ARCHITECTURES[name].dims[-1],
            network={**parameters, "in_channels": channels, "out_channels": outputs},
            normalization=(Normalization(method="zscore"),) * channels,
            channel_names=tuple(f"c{index}" for index in range(channels)),
            classes=tuple(classes_from_values(range(1, classes + 1), {})),
            overlapping=overlapping,
        )

    return make


def weights_of(plan: Plan, seed: int = 3) -> dict[str, torch.Tensor]:
    """Weights whose logits differ by much, as those of a trained network do."""
    torch.manual_seed(seed)
    return dict(build_network(plan.architecture, plan.network).state_dict())


def levels(plan: Plan, weights: dict[str, torch.Tensor], images: torch.Tensor) -> list[torch.Tensor]:
    network = build_network(plan.architecture, plan.network)
    network.load_state_dict(weights)
    network.eval()
    network.training = True  # all levels, and no dropout
    with torch.no_grad():
        return list(network(images))


def images_for(plan: Plan, channels: int) -> torch.Tensor:
    architecture = ARCHITECTURES[plan.architecture]
    edge = architecture.divisor or 8
    size = [2 * edge if architecture.is_fixed else edge] * (plan.dims - 1) + [2 * edge]
    return torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(1))


def begun(old: Plan, plan: Plan, weights: dict[str, torch.Tensor], *classes: tuple[int, ...]) -> list[torch.Tensor]:
    """Logits of the network that begins as the model, on images of its own channels."""
    origins = Origins(classes=classes, channels=tuple(range(len(old.channel_names))))
    below, fresh = [[MARGIN] * len(classes)], weights_of(plan, 9)
    made = with_classes(weights, old, plan, origins, margins=below, merged=[], fresh=fresh)
    return levels(plan, made, images_for(old, len(old.channel_names)))


def before(old: Plan, weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return levels(old, weights, images_for(old, len(old.channel_names)))


ALL = sorted(ARCHITECTURES)
LINEAR = [name for name in ALL if name != "VNet"]  # its last layer but one is as wide as there are classes


class TestClasses:
    @pytest.mark.parametrize("name", ALL)
    def test_kept_classes_in_another_order_are_the_same_logits(self, plan_of: Callable[..., Plan], name: str) -> None:
        old = plan_of(name)
        weights = weights_of(old)
        for then, now in zip(before(old, weights), begun(old, old, weights, (2,), (1,)), strict=True):
            torch.testing.assert_close(now, then[:, [0, 2, 1]])

    @pytest.mark.parametrize("name", ALL)
    def test_a_new_class_is_nowhere_and_leaves_the_others_alone(self, plan_of: Callable[..., Plan], name: str) -> None:
        old, plan = plan_of(name), plan_of(name, classes=3)
        weights, origins = weights_of(old), Origins(classes=((1,), (), (2,)), channels=(0, 1))
        begins = begun(old, plan, weights, *origins.classes)
        below = [[1, MARGIN + seen_above(logits, origins, overlapping=False)[1], 1] for logits in begins]
        made = with_classes(weights, old, plan, origins, margins=below, merged=[], fresh=weights_of(plan, 9))
        for then, now in zip(before(old, weights), levels(plan, made, images_for(old, 2)), strict=True):
            torch.testing.assert_close(now[:, [0, 1, 3]], then)
            assert torch.equal(now[:, [0, 1, 3]].argmax(1), then.argmax(1)) and not (now.argmax(1) == 2).any()
            assert (now[:, 2] < then.max(1).values - SLACK + 1e-3).all()
            assert now[:, 2].std() > 0.1 * then.std()  # a row of its own, which tells the network what to learn

    @pytest.mark.parametrize("name", ALL)
    def test_the_parts_of_a_class_add_up_to_it_but_for_their_noise(
        self, plan_of: Callable[..., Plan], name: str
    ) -> None:
        old, plan = plan_of(name), plan_of(name, classes=3)
        weights = weights_of(old)
        now = begun(old, plan, weights, (1,), (2,), (1,))
        assert not torch.equal(now[0][:, 1], now[0][:, 3])  # else they would stay equal
        middle = (now[0][:, 1] + now[0][:, 3]) / 2 + np.log(2)
        then = before(old, weights)[0]
        torch.testing.assert_close(now[0][:, [0, 2]], then[:, [0, 2]])
        spread = (now[0][:, 1] - now[0][:, 3]).std()
        assert (middle - then[:, 1]).abs().mean() < spread  # the mean of both lies where it was

    @pytest.mark.parametrize("name", LINEAR)
    def test_a_dropped_class_goes(self, plan_of: Callable[..., Plan], name: str) -> None:
        old, plan = plan_of(name, classes=3), plan_of(name, classes=2)
        weights = weights_of(old)
        for then, now in zip(before(old, weights), begun(old, plan, weights, (1,), (3,)), strict=True):
            torch.testing.assert_close(now, then[:, [0, 1, 3]])

    def test_of_a_vnet_that_loses_a_class_the_maps_that_matter_stay(self, plan_of: Callable[..., Plan]) -> None:
        """Its logits are mixtures of as many maps as classes: one of them has to go."""
        old, plan = plan_of("VNet", classes=3), plan_of("VNet", classes=2)
        weights = weights_of(old)
        weights["body.last.conv2.weight"][:, 2] *= 1e-6
        for then, now in zip(before(old, weights), begun(old, plan, weights, (1,), (3,)), strict=True):
            torch.testing.assert_close(now, then[:, [0, 1, 3]], atol=1e-3, rtol=1e-3)

    @pytest.mark.parametrize("name", LINEAR)
    def test_a_merged_row_is_the_combination_that_it_says(self, plan_of: Callable[..., Plan], name: str) -> None:
        old, plan = plan_of(name, classes=3), plan_of(name, classes=2)
        weights, row = weights_of(old), MergedRow(coefficients=torch.tensor([0.7, 0.0, 0.6]).double(), bias=2.0)
        origins = Origins(classes=((2,), (1, 3)), channels=(0, 1))
        made = with_classes(weights, old, plan, origins, margins=[[1, 1]], merged=[{1: row}], fresh=weights_of(plan))
        for then, now in zip(before(old, weights), levels(plan, made, images_for(old, 2)), strict=True):
            relative = then[:, 1:] - then[:, :1]
            torch.testing.assert_close(now[:, 2] - now[:, 0], 0.7 * relative[:, 0] + 0.6 * relative[:, 2] + 2)
            torch.testing.assert_close(now[:, :2], then[:, [0, 2]])

    @pytest.mark.parametrize("name", ["PlannedUNet", "SegResNet"])
    def test_classes_that_may_overlap_now_keep_their_odds_against_the_background(
        self, plan_of: Callable[..., Plan], name: str
    ) -> None:
        old, plan = plan_of(name), plan_of(name, classes=3, overlapping=True)
        weights = weights_of(old)
        for then, now in zip(before(old, weights), begun(old, plan, weights, (1,), (), (2,)), strict=True):
            torch.testing.assert_close(now[:, [0, 2]], then[:, 1:] - then[:, :1])
            assert now[:, 1].mean() == pytest.approx(-MARGIN, abs=3)

    @pytest.mark.parametrize("name", ["PlannedUNet", "SegResNet"])
    def test_classes_that_exclude_each_other_now(self, plan_of: Callable[..., Plan], name: str) -> None:
        old, plan = plan_of(name, overlapping=True), plan_of(name, classes=2)
        weights = weights_of(old)
        for then, now in zip(before(old, weights), begun(old, plan, weights, (1,), (2,)), strict=True):
            torch.testing.assert_close(now[:, 1:], then)
            assert not now[:, 0].any()

    def test_a_network_without_a_bias_in_its_last_layer(self, plan_of: Callable[..., Plan]) -> None:
        old, plan = plan_of(PLANNED), plan_of(PLANNED, classes=3)
        weights = {name: value for name, value in weights_of(old).items() if "heads" not in name or "weight" in name}
        origins = Origins(classes=((1,), (2,), ()), channels=(0, 1))
        made = with_classes(weights, old, plan, origins, margins=[[MARGIN] * 3], merged=[], fresh={})
        assert torch.equal(made["heads.0.weight"][:3], weights["heads.0.weight"])
        assert made["heads.0.weight"].shape[0] == 4 and "heads.0.bias" not in made


class TestChannels:
    @pytest.mark.parametrize("name", LINEAR)
    def test_a_new_channel_says_nothing_yet(self, plan_of: Callable[..., Plan], name: str) -> None:
        old, plan = plan_of(name), plan_of(name, channels=3)
        weights, images = weights_of(old), images_for(old, 3)
        made = with_channels(weights, old, plan, Origins(classes=((1,), (2,)), channels=(1, None, 0)))
        for then, now in zip(levels(old, weights, images[:, [2, 0]]), levels(plan, made, images), strict=True):
            torch.testing.assert_close(now, then, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("name", LINEAR)
    def test_a_dropped_channel_is_as_an_empty_one(self, plan_of: Callable[..., Plan], name: str) -> None:
        old, plan = plan_of(name), plan_of(name, channels=1)
        weights, images = weights_of(old), images_for(old, 2)
        images[:, 0] = 0
        made = with_channels(weights, old, plan, Origins(classes=((1,), (2,)), channels=(1,)))
        if name in ("UNETR", "SwinUNETR"):  # padding and normalisation see an empty channel as the others do
            assert made.keys() == weights.keys()
        for then, now in zip(levels(old, weights, images), levels(plan, made, images[:, 1:]), strict=True):
            torch.testing.assert_close(now, then, atol=1e-4, rtol=1e-4)

    def test_neighbouring_slices_are_kept_at_their_place(self, plan_of: Callable[..., Plan]) -> None:
        old = replace(plan_of("UNet2D"), neighbour_slices=1)
        old = replace(old, network={**old.network, "in_channels": 6})
        plan = replace(plan_of("UNet2D", channels=3), neighbour_slices=2)
        plan = replace(plan, network={**plan.network, "in_channels": 15})
        first = "body.conv_0.conv_0.conv.weight"
        weights = weights_of(old)
        made = with_channels(weights, old, plan, Origins(classes=((1,), (2,)), channels=(1, None, 0)))[first]
        expected = torch.zeros_like(made)
        for offset in range(3):  # the outer two of the five are new
            expected[:, 3 * (offset + 1) + 0] = weights[first][:, 2 * offset + 1]
            expected[:, 3 * (offset + 1) + 2] = weights[first][:, 2 * offset]
        assert torch.equal(made, expected)


class TestStandIn:
    ORIGINS = Origins(classes=((1, 2), (3,)), channels=(0,))

    @staticmethod
    def logits(count: int = 4000) -> torch.Tensor:
        """Voxels of three classes and the background: high where a class is, low where it is not, and all between."""
        generator = torch.Generator().manual_seed(0)
        kinds = torch.randint(4, (count,), generator=generator)
        logits = -6 + 1.5 * torch.randn(count, 3, generator=generator)
        for index in range(3):
            logits[kinds == index + 1, index] += 12
        return logits.double()

    def test_it_says_what_the_exact_one_says(self) -> None:
        relative = self.logits()
        row = stand_in(relative, (1, 2), self.ORIGINS, overlapping=False)
        exact, found = relative[:, :2].logsumexp(1), relative @ row.coefficients + row.bias
        rest = torch.cat([torch.zeros(len(relative), 1).double(), relative[:, 2:]], dim=1).logsumexp(1)
        assert ((exact > rest) == (found > rest)).double().mean() > 0.99
        assert (torch.sigmoid(exact - rest) - torch.sigmoid(found - rest)).abs().mean() < 0.01

    def test_it_is_better_than_mean_and_sum(self) -> None:
        relative = self.logits()
        row = stand_in(relative, (1, 2), self.ORIGINS, overlapping=False)
        exact = torch.sigmoid(relative[:, :2].logsumexp(1))

        def error(logit: torch.Tensor) -> float:
            return float((torch.sigmoid(logit) - exact).abs().mean())

        mean, total = relative[:, :2].mean(1) + np.log(2), relative[:, :2].sum(1)
        assert error(relative @ row.coefficients + row.bias) < 0.3 * min(error(mean), error(total))

    def test_a_source_that_is_divided_counts_with_its_share(self) -> None:
        origins = Origins(classes=((1, 2), (2,)), channels=(0,))
        relative = self.logits()[:, :2]
        whole = stand_in(relative, (1, 2), self.ORIGINS, overlapping=True)
        shared = stand_in(relative, (1, 2), origins, overlapping=True)
        at = torch.tensor([-8.0, 0.5]).double()
        assert float(at @ shared.coefficients) + shared.bias < float(at @ whole.coefficients) + whole.bias

    def test_logits_relative_to_the_background(self, tiny_plan: Plan) -> None:
        logits = torch.arange(24.0).reshape(1, 3, 2, 2, 2)
        assert relative_logits(logits, tiny_plan).tolist() == [[8.0, 16.0]] * 8
        assert relative_logits(logits, replace(tiny_plan, overlapping=True)).shape == (8, 3)


class TestFitting:
    def test_what_has_no_place_or_another_shape_is_new(self) -> None:
        old = {"a": torch.ones(2), "b": torch.ones(3), "gone": torch.ones(1)}
        fresh = {"a": torch.zeros(2), "b": torch.zeros(4), "c": torch.zeros(1)}
        weights, new = fitting(old, fresh)
        assert new == ["b", "c"] and weights.keys() == fresh.keys()
        assert weights["a"].all() and not weights["b"].any()

    def test_of_another_width_nothing_fits(self, plan_of: Callable[..., Plan]) -> None:
        old, wide = plan_of(PLANNED), plan_of(PLANNED, channels=1, classes=4)
        assert unfitting(old, PLANNED, wide.network)[0] == []
        wider = {**wide.network, "features": [5, 7, 9, 9]}
        new, kept, count = unfitting(old, PLANNED, wider)
        assert kept == 0 and count > 0 and len(new) > 10


def test_on_a_real_volume_no_voxel_changes_its_class(
    shared_data: Any, plan_of: Callable[..., Plan], generator: np.random.Generator
) -> None:
    image = sitk.ReadImage(str(shared_data / "hippocampus" / "imagesTr" / "hippocampus_001.nii.gz"))
    array = sitk.GetArrayFromImage(image).astype(np.float32)[:32, :48, :32]
    array = (array - array.mean()) / array.std()
    volume = torch.from_numpy(np.ascontiguousarray(array))[None, None].repeat(1, 2, 1, 1, 1)
    old, plan = plan_of(PLANNED), plan_of(PLANNED, classes=3)
    weights = weights_of(old)
    then = levels(old, weights, volume)[0].argmax(1)
    assert len(then.unique()) == 3  # else it would say little
    origins, fresh = Origins(classes=((1,), (2,), ()), channels=(0, 1)), weights_of(plan, 9)
    made = with_classes(weights, old, plan, origins, margins=[[0.0] * 3], merged=[], fresh=fresh)
    patches = volume[..., 8:24, 8:40, 8:24]
    below = [seen_above(logits, origins, overlapping=False) for logits in levels(plan, made, patches)]
    made = with_classes(weights, old, plan, origins, margins=below, merged=[], fresh=fresh)
    now = levels(plan, made, volume)[0].argmax(1)
    assert torch.equal(levels(plan, made, patches)[0].argmax(1), levels(old, weights, patches)[0].argmax(1))
    assert (now != then).double().mean() < 1e-3
