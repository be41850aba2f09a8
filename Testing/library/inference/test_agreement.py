"""How far looks at an image agree: one network, several, mirrored, and of classes that overlap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.agreement import NOISE, Agreement, mean_agreement, mirrored_look, noisy
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.inference.probability_maps import MapSelection
from MedSegTrainerLib.inference.tta import IDENTITY, Transform
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.networks import build_network

CPU = torch.device("cpu")
SURE = 20.0  # of a logit: a probability of 1


def logits(*labels: list[int], classes: int = 3) -> torch.Tensor:
    """Sure logits (B, classes, 1, 1, x) of windows with these label indices."""
    values = torch.tensor(labels)
    return SURE * torch.nn.functional.one_hot(values, classes).float().permute(0, 2, 1)[:, :, None, None, :]


def package(plan: Plan, seed: int = 0) -> ModelPackage:
    torch.manual_seed(seed)
    return ModelPackage(plan=plan, weights=build_network(plan.architecture, plan.network).state_dict())


@pytest.fixture
def volume() -> sitk.Image:
    """Larger than a window, anisotropic and oblique."""
    array = np.random.default_rng(5).normal(size=(9, 20, 23)).astype(np.float32)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.9, 1.2, 2.0))
    image.SetDirection((0, 0, -1, 1, 0, 0, 0, 1, 0))
    return image


class TestSums:
    def test_the_mean_of_pairwise_and_soft_dice_over_all_windows(self, tiny_plan: Plan) -> None:
        """Class 1 is at two and then one voxel in one look, at three and none in the other; both looks are sure."""
        agreement = Agreement(tiny_plan)
        agreement.add(logits([0, 1, 1, 2]), logits([1, 1, 1, 2]))
        agreement.add(logits([0, 1, 2, 2]), logits([0, 0, 2, 2]))
        pairwise, soft = (2 * 2) / (3 + 3), 1.0
        assert agreement.dice() == pytest.approx([(pairwise + soft) / 2, 1.0], abs=1e-4)

    def test_what_is_not_sure_agrees_less_with_itself(self, tiny_plan: Plan) -> None:
        sure, unsure = Agreement(tiny_plan), Agreement(tiny_plan)
        sure.add(logits([0, 1, 1, 2]), logits([0, 1, 1, 2]))
        unsure.add(logits([0, 1, 1, 2]) / SURE, logits([0, 1, 1, 2]) / SURE)
        first, second = sure.dice(), unsure.dice()
        assert first == pytest.approx([1.0, 1.0], abs=1e-4)
        assert all(a is not None and b is not None and a - b > 0.05 for a, b in zip(first, second, strict=True))

    def test_a_class_that_no_look_finds_has_none(self, tiny_plan: Plan) -> None:
        agreement = Agreement(tiny_plan)
        agreement.add(logits([0, 1, 0]), logits([0, 0, 0]))
        one, nothing = agreement.dice()
        assert one == pytest.approx(0.5, abs=1e-4)  # found by one look, surely: 0 of pairwise, 1 of soft Dice
        assert nothing is None
        assert Agreement(tiny_plan).dice() == [None, None]

    def test_of_several_networks_one_that_finds_nothing_counts_as_0(self, tiny_plan: Plan) -> None:
        looks = [Agreement(tiny_plan), Agreement(tiny_plan)]
        looks[0].add(logits([1, 0]), logits([1, 0]))
        looks[1].add(logits([0, 0]), logits([0, 0]))
        assert mean_agreement(looks) == [pytest.approx(0.5, abs=1e-4), None]

    def test_classes_that_overlap(self, tiny_plan: Plan) -> None:
        classes = tuple(LabelClass(value=v, name=n, color=(9, 9, 9)) for v, n in ((1, "organ"), (2, "tumor")))
        agreement = Agreement(replace(tiny_plan, classes=classes, overlapping=True))
        both = SURE * torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0]])[None, :, None, None, :]
        other = SURE * torch.tensor([[1.0, 1.0, -1.0], [-1.0, 1.0, -1.0]])[None, :, None, None, :]
        agreement.add(both, other)
        assert agreement.dice() == pytest.approx([1.0, 0.5], abs=1e-4)


class TestLook:
    def test_noise_is_the_same_at_every_call_and_by_the_deviation_of_each_channel(self) -> None:
        windows = torch.randn((2, 2, 3, 16, 20), generator=torch.Generator().manual_seed(1))
        windows[:, 1] *= 100
        added = noisy(windows) - windows
        assert torch.equal(noisy(windows), noisy(windows))
        for channel, scale in ((0, 1.0), (1, 100.0)):
            assert float(added[:, channel].std()) == pytest.approx(NOISE * scale, rel=0.1)
        assert torch.equal(noisy(torch.full((1, 1, 2, 3, 4), 7.0)), torch.full((1, 1, 2, 3, 4), 7.0))

    def test_it_is_mirrored_where_the_training_mirrored_and_never_onto_the_other_side(self, tiny_plan: Plan) -> None:
        plan = replace(tiny_plan, flip_axes=(1, 2))
        assert mirrored_look(plan) == Transform(flips=(1, 2))
        assert mirrored_look(replace(plan, sides={"x": "it exchanges the kidneys"})) == Transform(flips=(1,))
        assert mirrored_look(replace(plan, flip_axes=())) == IDENTITY

    def test_what_works_voxel_by_voxel_agrees_wherever_it_looks_from(self, tiny_plan: Plan) -> None:
        agreement = Agreement(replace(tiny_plan, flip_axes=(0, 2)))
        bright = agreement.watch(lambda seen: SURE * torch.cat([-seen, seen, torch.full_like(seen, -9.0)], dim=1))
        windows = torch.where(torch.rand((1, 1, 4, 6, 5), generator=torch.Generator().manual_seed(2)) > 0.5, 9.0, -9.0)
        bright(windows)
        assert agreement.dice() == [pytest.approx(1.0, abs=1e-3), None]

    def test_windows_without_any_class_are_not_looked_at_again(self, tiny_plan: Plan) -> None:
        for overlapping in (False, True):
            agreement, calls = Agreement(replace(tiny_plan, flip_axes=(), overlapping=overlapping)), []

            def bright(seen: torch.Tensor, calls: list[int] = calls, o: bool = overlapping) -> torch.Tensor:
                calls.append(len(seen))
                classes = [seen, seen - 99]
                return torch.cat(classes if o else [torch.zeros_like(seen), *classes], dim=1)

            watched = agreement.watch(bright)
            watched(torch.full((3, 1, 2, 4, 5), -1.0))
            assert calls == [3] and agreement.dice() == [None, None]
            mixed = torch.full((3, 1, 2, 4, 5), -1.0)
            mixed[1] = 9.0
            assert watched(mixed).shape[0] == 3
            assert calls == [3, 3, 1] and agreement.dice() == [pytest.approx(1.0, abs=1e-3), None]


class TestPredictor:
    def test_the_result_stays_as_it_is_to_the_last_bit(self, tiny_plan: Plan, volume: sitk.Image) -> None:
        for members in ([package(tiny_plan)], [package(tiny_plan, 1), package(tiny_plan, 2)]):
            for transforms in ((IDENTITY,), (IDENTITY, Transform(flips=(2,)))):
                predictor = Predictor(members, CPU, transforms=transforms)
                prepared = predictor.prepare([volume])
                maps = MapSelection(uncertainty=True)
                plain = predictor.segment(prepared, maps=maps)
                seen = predictor.segment(prepared, maps=maps, with_agreement=True)
                assert plain.agreement is None and seen.agreement is not None
                np.testing.assert_array_equal(*map(sitk.GetArrayFromImage, (plain.labels, seen.labels)))
                assert plain.entropy is not None and seen.entropy is not None
                np.testing.assert_array_equal(plain.entropy, seen.entropy)

    def test_of_several_groups_it_is_the_mean_over_all_members(self, tiny_plan: Plan, volume: sitk.Image) -> None:
        """Members with other voxels see other windows, and mirrorings that are averaged change nothing."""
        finer = replace(tiny_plan, spacing=tuple(0.8 * mm for mm in tiny_plan.spacing))
        members = [package(tiny_plan, 1), package(tiny_plan, 2), package(finer, 3)]
        alone = []
        for one in members:
            predictor = Predictor(one, CPU)
            alone.append(predictor.segment(predictor.prepare([volume]), with_agreement=True).agreement or [])
        together = Predictor(members, CPU, transforms=(IDENTITY, Transform(flips=(1,))))
        agreement = together.segment(together.prepare([volume]), with_agreement=True).agreement or []
        assert any(value is not None for value in agreement)
        for index, value in enumerate(agreement):
            known = [of[index] for of in alone]
            expected = None if all(one is None for one in known) else sum(one or 0.0 for one in known) / 3
            assert value == (None if expected is None else pytest.approx(expected, abs=1e-6))

    def test_several_devices_and_2d(self, tiny_plan: Plan) -> None:
        """The CPU under two names takes the part of two GPUs."""
        members = [package(tiny_plan, 1), package(tiny_plan, 2)]
        devices = [torch.device("cpu"), torch.device("cpu:0")]
        image = Geometry(size=(30, 21, 11), spacing=(1.0, 1.3, 2.0)).place(
            np.random.default_rng(1).normal(size=(11, 21, 30)).astype(np.float32)
        )
        one, two = Predictor(members, CPU), Predictor(members, CPU, devices=devices)
        first, second = (
            predictor.segment(predictor.prepare([image]), with_agreement=True).agreement for predictor in (one, two)
        )
        assert first == second != [None, None]

    def test_where_memory_runs_out_nothing_counts_twice(self, tiny_plan: Plan, volume: sitk.Image) -> None:
        """The second attempt has smaller batches, which change nothing of what is counted."""
        predictor = Predictor(package(tiny_plan), CPU)
        prepared = predictor.prepare([volume])
        expected = predictor.segment(prepared, with_agreement=True).agreement
        network, calls = predictor.networks[0][0], []

        def failing(windows: torch.Tensor) -> torch.Tensor:
            calls.append(len(windows))
            if len(calls) == 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return network(windows)

        predictor.networks = [[failing]]
        small = replace(predictor.trained[0], batch_size=4)
        predictor.placement = replace(predictor.placement, plans=(small,))
        agreement = predictor.segment(prepared, with_agreement=True).agreement
        assert len(calls) > 3 and agreement is not None and expected is not None
        assert agreement == pytest.approx(expected, abs=1e-6) and max(calls[3:]) < 4
