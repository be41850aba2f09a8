"""A predictor of several models, in slabs, with maps, and where memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.samples.arrangement import arrangement_of
from MedSegTrainerLib.errors import DataError, MedSegError
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical
from MedSegTrainerLib.inference.predictor import CPU_VOXELS, Predictor, windows_at_once
from MedSegTrainerLib.inference.probability_maps import MapSelection
from MedSegTrainerLib.inference.tta import IDENTITY, Transform
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.networks import build_network

CPU = torch.device("cpu")


def package(plan: Plan, seed: int = 0) -> ModelPackage:
    torch.manual_seed(seed)
    return ModelPackage(plan=plan, weights=build_network(plan.architecture, plan.network).state_dict())


@pytest.fixture
def volume() -> sitk.Image:
    """A volume in another axis order than the network's, on a grid of its own."""
    array = np.random.default_rng(5).normal(size=(20, 9, 23)).astype(np.float32)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.9, 2.0, 1.2))
    image.SetOrigin((3.0, -4.0, 5.0))
    image.SetDirection((0, 0, -1, 1, 0, 0, 0, 1, 0))
    return image


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


class NoMemory:
    """A network that memory is too small for, unless a condition on its windows holds."""

    def __init__(self, network: Callable[[torch.Tensor], torch.Tensor], fits: Callable[[torch.Tensor], bool]) -> None:
        self.network, self.fits = network, fits

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        if not self.fits(windows):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.network(windows)


class TestMaps:
    def test_probabilities_add_up_and_their_largest_is_the_label(
        self, tiny_plan: Plan, volume: sitk.Image, tmp_path: Path
    ) -> None:
        predictor = Predictor([package(tiny_plan, seed) for seed in range(2)], CPU)
        prediction = predictor.segment(
            predictor.prepare([volume]), maps=MapSelection(probabilities=True, uncertainty=True), spool=tmp_path
        )
        assert prediction.probabilities is not None and prediction.entropy is not None and prediction.std is not None
        p = np.stack([array(prediction.to_image(prediction.probabilities.read(index))) for index in range(2)])
        p = np.concatenate([1 - p.sum(axis=0, keepdims=True), p])
        assert p.min() > -1e-4 and p.shape[1:] == (20, 9, 23)
        values = np.array([0, 3, 7])[p.argmax(axis=0)]
        sure = np.sort(p, axis=0)[-1] - np.sort(p, axis=0)[-2] > 1e-3
        assert (array(prediction.labels) == values)[sure].all() and len(np.unique(values)) > 1
        entropy = -(p * np.log(p.clip(1e-9))).sum(axis=0) / np.log(3)
        np.testing.assert_allclose(
            array(prediction.to_image(prediction.entropy.astype(np.float32))), entropy, atol=2e-3
        )
        assert 0 < prediction.std.max() < 1
        prediction.probabilities.close()

    def test_maps_change_no_label(self, tiny_plan: Plan, volume: sitk.Image) -> None:
        predictor = Predictor(package(tiny_plan), CPU)
        prediction = predictor.segment(predictor.prepare([volume]), maps=MapSelection(uncertainty=True))
        assert prediction.std is None and prediction.entropy is not None
        assert (array(prediction.labels) == array(predictor.predict([volume]))).all()


class TestOnTheGridOfTheImage:
    SHORT_AXIS = (0.598664, 0.236250, -0.768114, 0.562794, 0.585590, 0.605160, 0.569970, -0.826360, 0.209242)

    @pytest.mark.parametrize("handed", [1, -1], ids=["right-handed", "left-handed"])
    def test_any_direction(self, tiny_plan: Plan, handed: int) -> None:
        """Also where two axes are nearest to the same side of the patient, as in a short axis of the heart."""
        turns = [np.reshape(self.SHORT_AXIS, (3, 3)), *Rotation.random(60, random_state=1).as_matrix()]
        array = np.arange(4 * 5 * 6, dtype=np.int32).reshape(6, 5, 4)
        for turn in turns:
            direction = tuple((turn @ np.diag([1, 1, handed])).ravel())
            grid = Geometry(size=(4, 5, 6), spacing=(1.2, 1.3, 2.5), origin=(-20, 15, 33), direction=direction)
            canonical = to_canonical(grid.place(array))
            arrangement = arrangement_of([grid.place(array)], tiny_plan)
            back = arrangement.restored(sitk.GetArrayFromImage(canonical))
            assert Geometry.of(back) == grid
            assert np.array_equal(sitk.GetArrayViewFromImage(back), array)


class TestSeveral:
    def test_two_times_the_same_model_is_that_model(self, tiny_plan: Plan, volume: sitk.Image) -> None:
        one, plain = package(tiny_plan), array(Predictor(package(tiny_plan), CPU).predict([volume]))
        twice = Predictor([one, one], CPU)
        prediction = twice.segment(twice.prepare([volume]), maps=MapSelection(uncertainty=True))
        assert (array(prediction.labels) == plain).mean() > 0.999
        assert prediction.std is not None and prediction.std.max() < 0.01

    def test_models_of_other_voxels_are_averaged_on_the_grid_of_the_image(
        self, tiny_plan: Plan, volume: sitk.Image
    ) -> None:
        coarse = replace(tiny_plan, spacing=(3.0, 1.4, 1.0))
        packages = [package(tiny_plan, 0), package(coarse, 1)]
        progress: list[tuple[int, int]] = []
        prediction = Predictor(packages, CPU).predict([volume], lambda *done: progress.append(done))
        both = [array(Predictor(item, CPU).predict([volume])) for item in packages]
        agree = both[0] == both[1]
        assert 0.02 < agree.mean() < 0.98
        assert (array(prediction) == both[0])[agree].mean() > 0.98
        assert progress[-1][0] == progress[-1][1] and progress == sorted(progress)

    def test_all_transforms_of_all_models_count(self, tiny_plan: Plan) -> None:
        transforms = (IDENTITY, Transform(flips=(2,)))
        assert Predictor([package(tiny_plan)] * 3, CPU, transforms=transforms).result_count == 6

    def test_spread_over_devices_they_find_the_same(self, tiny_plan: Plan, volume: sitk.Image) -> None:
        """The CPU under two names takes the part of two GPUs."""
        packages = [package(tiny_plan, 0), package(replace(tiny_plan, spacing=(3.0, 1.4, 1.0)), 1)]
        packages += [package(tiny_plan, seed) for seed in (2, 3)]
        devices = [CPU, torch.device("cpu:0")]
        distributed = Predictor(packages, CPU, devices=devices)
        assert [[str(place) for place in group] for group in distributed.member_devices] == [
            ["cpu", "cpu:0", "cpu"],
            ["cpu"],
        ]
        alone = array(Predictor(packages, CPU).predict([volume]))
        assert (array(distributed.predict([volume])) == alone).all() and len(np.unique(alone)) > 1

    def test_channels(self, tiny_plan: Plan, volume: sitk.Image) -> None:
        with pytest.raises(DataError, match="2 channels"):
            Predictor(package(tiny_plan), CPU).predict([volume, volume])

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_what_is_no_number_becomes_no_label_map(self, tiny_plan: Plan, volume: sitk.Image, value: float) -> None:
        predictor = Predictor(package(tiny_plan), CPU)
        network = predictor.networks[0][0]
        predictor.networks = [[lambda seen: network(seen) * 0 + value]]
        with pytest.raises(DataError, match="no number at some voxels, and no label map was written"):
            predictor.predict([volume])


class TestMemory:
    def test_windows_shrink_in_words_and_stay_so(self, tiny_plan: Plan, volume: sitk.Image) -> None:
        plan = replace(tiny_plan, patch_size=(4, 16, 16), batch_size=4)
        messages: list[str] = []
        predictor = Predictor(package(plan), CPU, warn=messages.append)
        predictor.networks = [[NoMemory(predictor.networks[0][0], lambda seen: seen[:, 0].numel() <= 600)]]
        prediction = predictor.predict([volume])
        assert prediction.GetSize() == volume.GetSize()
        assert (
            predictor.placement.plans[0].batch_size == 1 and predictor.placement.plans[0].patch_size != plan.patch_size
        )
        assert all("Memory ran out" in message for message in messages) and "a little worse" in messages[-1]
        count = len(messages)
        predictor.predict([volume])
        assert len(messages) == count

    def test_nothing_left_to_shrink(self, tiny_plan: Plan, volume: sitk.Image) -> None:
        predictor = Predictor(package(tiny_plan), CPU)
        predictor.networks = [[NoMemory(predictor.networks[0][0], lambda seen: False)]]
        with pytest.raises(MedSegError, match="Memory ran out"):
            predictor.predict([volume])

    def test_other_errors_are_not_taken_for_it(self, tiny_plan: Plan, volume: sitk.Image) -> None:
        def broken(windows: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes differ")

        predictor = Predictor(package(tiny_plan), CPU)
        predictor.networks = [[broken]]
        with pytest.raises(RuntimeError, match="shapes differ"):
            predictor.predict([volume])


class TestWindowsAtOnce:
    def test_a_gpu_sees_as_many_as_in_training(self, tiny_plan: Plan) -> None:
        assert windows_at_once(tiny_plan, torch.device("cuda")) == tiny_plan.batch_size

    @pytest.mark.parametrize(
        ("patch", "batch", "count"), [((32, 48, 64), 2, 4), ((96, 96, 96), 2, 2), ((1, 8, 8), 4, 6250)]
    )
    def test_a_cpu_sees_more_small_ones(
        self, tiny_plan: Plan, patch: tuple[int, int, int], batch: int, count: int
    ) -> None:
        assert CPU_VOXELS == 400_000
        assert windows_at_once(replace(tiny_plan, patch_size=patch, batch_size=batch), CPU) == count
