"""Predictions of classes that overlap: a sigmoid each, averaged as probabilities over members and mirrorings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.export.tracing import Logits, example
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.ensemble import averaged, combine_groups, grouped
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.inference.probability_maps import MapSelection
from MedSegTrainerLib.inference.sliding_window import Network
from MedSegTrainerLib.inference.tta import IDENTITY, Transform
from MedSegTrainerLib.model.package import ModelPackage, load_members, save_ensemble
from MedSegTrainerLib.networks import build_network

P = torch.tensor([[0.9, 0.8], [0.3, 0.6], [0.7, 0.1]])  # three members, two classes
SHAPE = (1, 2, 2, 3, 4)
CPU = torch.device("cpu")
ALL_MAPS = MapSelection(probabilities=True, uncertainty=True)


def always(p: torch.Tensor) -> Network:
    return lambda windows: torch.logit(p)[None, :, None, None, None].expand(SHAPE)


def variance_of(p: torch.Tensor) -> float:
    """Of being there and of not being there."""
    return 2 * float(p.var(dim=0, correction=0).sum())


@pytest.fixture
def plan(tiny_plan: Plan) -> Plan:
    classes = tuple(LabelClass(value=value, name=name, color=(9, 9, 9)) for value, name in ((1, "organ"), (2, "tumor")))
    network = {**tiny_plan.network, "out_channels": 2}
    return replace(tiny_plan, classes=classes, overlapping=True, network=network)


def member(plan: Plan, seed: int) -> ModelPackage:
    torch.manual_seed(seed)
    return ModelPackage(plan=plan, weights=build_network(plan.architecture, plan.network).state_dict())


@pytest.fixture
def image(tiny_plan: Plan) -> sitk.Image:
    """As large as a window, with the voxels that the network sees."""
    z, y, x = tiny_plan.spacing
    noise = np.random.default_rng(3).normal(size=(4, 8, 12)).astype(np.float32)
    return Geometry(size=(12, 8, 4), spacing=(x, y, z)).place(noise)


def probabilities(members: Sequence[ModelPackage], predictor: Predictor, image: sitk.Image) -> np.ndarray:
    """Of each member, by hand: (members, classes, z, y, x)."""
    (seen,) = predictor.prepare([image]).images.values()
    results = []
    for package in members:
        with torch.no_grad():
            results.append(torch.sigmoid(package.build().eval()(torch.from_numpy(seen)[None])[0][0]).numpy())
    return np.stack(results)


class TestAveraged:
    def test_the_mean_of_the_probabilities_and_their_variance(self) -> None:
        networks = [always(p) for p in P]
        result = averaged(networks, with_variance=True, overlapping=True)(torch.zeros(SHAPE))[0, :, 0, 0, 0]
        torch.testing.assert_close(torch.sigmoid(result[:2]), P.mean(dim=0))
        assert float(result[2]) == pytest.approx(variance_of(P), abs=1e-6)

    def test_logits_far_out_are_kept(self) -> None:
        """Where the probability is 1 to all digits, and 0."""
        far = torch.tensor([60.0, -60.0])
        network: Network = lambda windows: far[None, :, None, None, None].expand(SHAPE)  # noqa: E731
        result = averaged([network, network], with_variance=False, overlapping=True)(torch.zeros(SHAPE))
        torch.testing.assert_close(result[0, :, 0, 0, 0], far)

    def test_transforms_are_undone(self) -> None:
        windows = torch.randn((1, 2, 4, 5, 5), generator=torch.Generator().manual_seed(0))
        ways = (IDENTITY, Transform(flips=(1, 2)), Transform(turns=1))
        result = averaged([lambda seen: 2 * seen], ways, with_variance=True, overlapping=True)(windows)
        torch.testing.assert_close(result[:, :2], 2 * windows)
        assert float(result[:, 2].abs().max()) < 1e-6

    def test_groups_of_unequal_size_are_as_one(self) -> None:
        networks = [always(p) for p in P]
        parts = [
            averaged(some, with_variance=True, overlapping=True)(torch.zeros(SHAPE))[0]
            for some in (networks[:1], networks[1:])
        ]
        whole = averaged(networks, with_variance=True, overlapping=True)(torch.zeros(SHAPE))[0]
        joined = combine_groups(parts, [1, 2], with_variance=True, overlapping=True)
        torch.testing.assert_close(joined, whole, atol=1e-6, rtol=1e-5)


class TestPredictor:
    def test_a_class_is_there_above_one_half(self, plan: Plan, image: sitk.Image) -> None:
        members = [member(plan, seed) for seed in (1, 2, 3)]
        predictor = Predictor(members, CPU)
        mean = probabilities(members, predictor, image).mean(axis=0)
        bits = sitk.GetArrayFromImage(predictor.predict([image]))
        assert ((bits & 1).astype(bool) == (mean[0] > 0.5)).all()
        assert ((bits >> 1).astype(bool) == (mean[1] > 0.5)).all()
        assert set(np.unique(bits)) == {0, 1, 2, 3}

    def test_maps(self, plan: Plan, image: sitk.Image, tmp_path: Path) -> None:
        members = [member(plan, seed) for seed in (1, 2, 3)]
        predictor = Predictor(members, CPU)
        each = probabilities(members, predictor, image)
        mean = each.mean(axis=0)
        prediction = predictor.segment(predictor.prepare([image]), maps=ALL_MAPS, spool=tmp_path)
        assert prediction.probabilities is not None and prediction.entropy is not None and prediction.std is not None
        for index in range(2):
            assert np.abs(prediction.probabilities.read(index) - mean[index]).max() < 1e-4
        entropy = -(mean * np.log2(mean) + (1 - mean) * np.log2(1 - mean))
        assert np.abs(prediction.entropy.astype(float) - entropy.max(axis=0)).max() < 2e-3
        spread = np.sqrt(2 * each.var(axis=0).sum(axis=0)).clip(max=1)
        assert np.abs(prediction.std.astype(float) - spread).max() < 2e-3
        prediction.probabilities.close()

    def test_one_number_a_class_and_no_background(self, plan: Plan) -> None:
        assert plan.out_channels == 2
        assert Logits(member(plan, 1))(example(member(plan, 1))).shape[1] == 2


class TestEnsemble:
    def test_not_with_a_model_whose_classes_exclude_each_other(self, plan: Plan, package: ModelPackage) -> None:
        other = replace(package, plan=replace(package.plan, classes=plan.classes))
        with pytest.raises(ModelError, match="in model 2 classes exclude each other, in the first classes overlap"):
            grouped([member(plan, 1), other])

    def test_nor_in_one_package(self, plan: Plan, package: ModelPackage, tmp_path: Path) -> None:
        other = replace(package, plan=replace(package.plan, classes=plan.classes))
        with pytest.raises(ModelError, match="overlap, those of others do not"):
            save_ensemble([member(plan, 1), other], tmp_path / "m", training={}, metrics={})
            load_members(tmp_path / "m")

    def test_exported_as_one_network(self, plan: Plan) -> None:
        members = [member(plan, seed) for seed in (1, 2)]
        seen = example(members[0])
        with torch.no_grad():
            results = [torch.sigmoid(one.build().eval()(seen)[0]) for one in members]
            logits = Logits(*members).eval()(seen)
        torch.testing.assert_close(torch.sigmoid(logits), torch.stack(results).mean(dim=0), atol=1e-5, rtol=1e-4)
        assert math.isfinite(float(logits.sum()))
