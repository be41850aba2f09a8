"""The mean of several opinions and how far they are apart, in one group or in several."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.inference.ensemble import averaged, grouped, opinions, together
from MedSegTrainerLib.inference.sliding_window import Network
from MedSegTrainerLib.inference.tta import IDENTITY, Transform
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.networks import build_network

P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2]])  # three opinions on three classes
SHAPE = (1, 3, 2, 3, 4)


def always(p: torch.Tensor, scale: float = 1.0) -> Network:
    """A network that gives every voxel these probabilities; its logits are not normalised."""
    return lambda windows: (p.log() + scale)[None, :, None, None, None].expand(SHAPE)


def spread_of(p: torch.Tensor) -> float:
    return float(p.var(dim=0, correction=0).sum())


class TestAveraged:
    def test_the_mean_of_the_probabilities_and_their_variance(self) -> None:
        found = averaged([always(p, index) for index, p in enumerate(P)], spread=True)(torch.zeros(SHAPE))[
            0, :, 0, 0, 0
        ]
        torch.testing.assert_close(found[:3].exp(), P.mean(dim=0))
        assert float(found[3]) == pytest.approx(spread_of(P), abs=1e-6)

    def test_a_single_opinion_is_passed_on(self) -> None:
        network = always(P[0])
        assert averaged([network], spread=False) is network

    def test_transforms_are_undone(self) -> None:
        """A network that works on each voxel alone gives the same whichever way it looks."""
        windows = torch.randn((1, 3, 4, 5, 5), generator=torch.Generator().manual_seed(0))
        ways = (IDENTITY, Transform(flips=(1, 2)), Transform(turns=1), Transform(turns=2))
        found = averaged([lambda seen: 2 * seen], ways, spread=True)(windows)
        torch.testing.assert_close(found[:, :3], torch.log_softmax(2 * windows, dim=1))
        assert float(found[:, 3].max()) < 1e-6


class TestDevices:
    """The CPU under two names takes the part of two GPUs."""

    def test_the_mean_is_the_same_wherever_the_networks_are(self) -> None:
        networks = [always(p, index) for index, p in enumerate(P)]
        ways = (IDENTITY, Transform(flips=(1,)))
        alone = averaged(networks, ways, spread=True)(torch.zeros(SHAPE))
        devices = [torch.device(name) for name in ("cpu", "cpu:0", "cpu")]
        assert torch.equal(averaged(networks, ways, spread=True, devices=devices)(torch.zeros(SHAPE)), alone)

    def test_as_many_compute_as_there_are_devices_before_a_result_is_used(self) -> None:
        begun: list[int] = []

        def network(index: int) -> Network:
            return lambda windows: (begun.append(index), windows + index)[1]  # type: ignore[func-returns-value]

        networks = [network(index) for index in range(3)]
        devices = [torch.device(name) for name in ("cpu", "cpu:0", "cpu")]
        found = [(float(seen.mean()), list(begun)) for seen in opinions(networks, torch.zeros(SHAPE), devices)]
        assert found == [(0, [0, 1]), (1, [0, 1]), (2, [0, 1, 2])]
        begun.clear()
        assert [list(begun) for _ in opinions(networks, torch.zeros(SHAPE))] == [[0], [0, 1], [0, 1, 2]]


class TestTogether:
    def test_groups_of_unequal_size_are_as_one(self) -> None:
        networks = [always(p) for p in P]
        groups = [averaged(part, spread=True)(torch.zeros(SHAPE))[0] for part in (networks[:1], networks[1:])]
        whole = averaged(networks, spread=True)(torch.zeros(SHAPE))[0]
        torch.testing.assert_close(together(groups, [1, 2], spread=True), whole, atol=1e-6, rtol=1e-5)

    def test_without_spread(self) -> None:
        parts = [always(p)(torch.zeros(SHAPE))[0] for p in P]
        found = together(parts, [1, 1, 1], spread=False)
        torch.testing.assert_close(found.exp()[:, 0, 0, 0], P.mean(dim=0))


class TestGroups:
    def package(self, plan: Plan) -> ModelPackage:
        return ModelPackage(plan=plan, weights=build_network(plan.architecture, plan.network).state_dict())

    def test_equal_windows_are_cut_once(self, tiny_plan: Plan) -> None:
        coarse = replace(tiny_plan, spacing=(3.0, 1.1, 0.8))
        packages = [self.package(plan) for plan in (tiny_plan, coarse, replace(tiny_plan, batch_size=1))]
        assert [[packages.index(p) for p in group] for group in grouped(packages)] == [[0, 2], [1]]

    def test_other_classes_are_refused(self, tiny_plan: Plan) -> None:
        other = replace(tiny_plan, classes=(LabelClass(value=3, name="spleen", color=(1, 2, 3)), tiny_plan.classes[1]))
        with pytest.raises(ModelError, match=r"model 2 has .*spleen"):
            grouped([self.package(tiny_plan), self.package(other)])
