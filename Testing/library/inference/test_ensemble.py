"""The mean of several members and their variance, in one group or in several."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.inference.ensemble import averaged, combine_groups, grouped, member_results
from MedSegTrainerLib.inference.sliding_window import Network
from MedSegTrainerLib.inference.tta import IDENTITY, Transform
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.networks import build_network

P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2]])  # three members, three classes
SHAPE = (1, 3, 2, 3, 4)


def always(p: torch.Tensor, scale: float = 1.0) -> Network:
    """A network that gives every voxel these probabilities; its logits are not normalised."""
    return lambda windows: (p.log() + scale)[None, :, None, None, None].expand(SHAPE)


def variance_of(p: torch.Tensor) -> float:
    return float(p.var(dim=0, correction=0).sum())


class TestAveraged:
    def test_the_mean_of_the_probabilities_and_their_variance(self) -> None:
        results = averaged([always(p, index) for index, p in enumerate(P)], with_variance=True)(torch.zeros(SHAPE))[
            0, :, 0, 0, 0
        ]
        torch.testing.assert_close(results[:3].exp(), P.mean(dim=0))
        assert float(results[3]) == pytest.approx(variance_of(P), abs=1e-6)

    def test_a_single_prediction_is_passed_on(self) -> None:
        network = always(P[0])
        assert averaged([network], with_variance=False) is network

    def test_transforms_are_undone(self) -> None:
        """A network that works on each voxel alone gives the same whichever way it looks."""
        windows = torch.randn((1, 3, 4, 5, 5), generator=torch.Generator().manual_seed(0))
        ways = (IDENTITY, Transform(flips=(1, 2)), Transform(turns=1), Transform(turns=2))
        results = averaged([lambda seen: 2 * seen], ways, with_variance=True)(windows)
        torch.testing.assert_close(results[:, :3], torch.log_softmax(2 * windows, dim=1))
        assert float(results[:, 3].max()) < 1e-6


class TestDevices:
    """The CPU under two names takes the part of two GPUs."""

    def test_the_mean_is_the_same_wherever_the_networks_are(self) -> None:
        networks = [always(p, index) for index, p in enumerate(P)]
        ways = (IDENTITY, Transform(flips=(1,)))
        alone = averaged(networks, ways, with_variance=True)(torch.zeros(SHAPE))
        devices = [torch.device(name) for name in ("cpu", "cpu:0", "cpu")]
        assert torch.equal(averaged(networks, ways, with_variance=True, devices=devices)(torch.zeros(SHAPE)), alone)

    def test_as_many_compute_as_there_are_devices_before_a_result_is_used(self) -> None:
        started: list[int] = []

        def network(index: int) -> Network:
            return lambda windows: (started.append(index), windows + index)[1]  # type: ignore[func-returns-value]

        networks = [network(index) for index in range(3)]
        devices = [torch.device(name) for name in ("cpu", "cpu:0", "cpu")]
        results = [
            (float(seen.mean()), list(started)) for seen in member_results(networks, torch.zeros(SHAPE), devices)
        ]
        assert results == [(0, [0, 1]), (1, [0, 1]), (2, [0, 1, 2])]
        started.clear()
        assert [list(started) for _ in member_results(networks, torch.zeros(SHAPE))] == [[0], [0, 1], [0, 1, 2]]


class TestCombineGroups:
    def test_groups_of_unequal_size_are_as_one(self) -> None:
        networks = [always(p) for p in P]
        groups = [averaged(part, with_variance=True)(torch.zeros(SHAPE))[0] for part in (networks[:1], networks[1:])]
        whole = averaged(networks, with_variance=True)(torch.zeros(SHAPE))[0]
        torch.testing.assert_close(combine_groups(groups, [1, 2], with_variance=True), whole, atol=1e-6, rtol=1e-5)

    def test_without_variance(self) -> None:
        parts = [always(p)(torch.zeros(SHAPE))[0] for p in P]
        results = combine_groups(parts, [1, 1, 1], with_variance=False)
        torch.testing.assert_close(results.exp()[:, 0, 0, 0], P.mean(dim=0))


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
