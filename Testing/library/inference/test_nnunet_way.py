"""A prediction as nnU-Net makes it, against the same steps written out plainly for whole volumes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.config.plan import Normalization, Plan, Preparation, Resampling
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.ensemble import grouped
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.inference.probability_maps import MapSelection
from MedSegTrainerLib.inference.tta import IDENTITY, Transform, choose_transforms
from MedSegTrainerLib.inference.window_layout import NNUNET
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.networks import build_network

CPU = torch.device("cpu")
TRANSPOSE, SPACING = (1, 2, 0), (1.1, 0.8, 2.2)
BOX = slice(2, 11), slice(1, 15), slice(3, 16)  # of z, y, x of the file, where something is
ELSEWHERE = Preparation(
    image=Resampling(order=3, order_z=0), logits=Resampling(order=1, order_z=0), transpose=TRANSPOSE
)  # fmt: skip


@pytest.fixture
def plan(tiny_plan: Plan) -> Plan:
    channels = (
        Normalization(method="ct", low=-1.5, high=1.4, mean=0.2, std=0.9),
        Normalization(method="zscore", masked=True),
    )
    network = {**tiny_plan.network, "in_channels": 2}
    return replace(
        tiny_plan, spacing=SPACING, normalization=channels, channel_names=("CT", "MR"), network=network,
        preparation=ELSEWHERE, patch_size=(8, 12, 8), flip_axes=(0, 2),
    )  # fmt: skip


@pytest.fixture
def channels() -> list[sitk.Image]:
    """Two of an oblique grid, 0 around a box and in a hole of it."""
    generator = np.random.default_rng(8)
    grid = Geometry(
        size=(18, 15, 12), spacing=(0.9, 1.3, 2.5), origin=(-9, 4, 31),
        direction=(0.36, 0.48, -0.8, -0.8, 0.6, 0.0, 0.48, 0.64, 0.6),
    )  # fmt: skip
    images = []
    for _ in range(2):
        array = np.zeros((12, 15, 18), np.float32)
        array[BOX] = ndimage.gaussian_filter(generator.normal(size=array[BOX].shape), 1) * 4
        array[5, 7, 9] = 0
        images.append(grid.place(array))
    return images


def package(plan: Plan, seed: int) -> ModelPackage:
    torch.manual_seed(seed)
    return ModelPackage(plan=plan, weights=build_network(plan.architecture, plan.network).state_dict())


def zoomed(volume: np.ndarray, size: Sequence[int], order: int) -> np.ndarray:
    factors = [new / old for new, old in zip(size, volume.shape, strict=True)]
    result: np.ndarray = ndimage.zoom(volume.astype(float), factors, order=order, mode="nearest", grid_mode=True)
    return result.clip(volume.min(), volume.max())


def plain_probabilities(
    channels: Sequence[sitk.Image], packages: Sequence[ModelPackage], flips: Sequence[tuple[int, ...]]
) -> np.ndarray:
    """(classes, z, y, x) of the file, background first."""
    plan = packages[0].plan
    box = np.stack([sitk.GetArrayFromImage(channel)[BOX] for channel in channels]).transpose(0, 2, 3, 1)
    edges = (1.3, 0.9, 2.5)
    size = [round(old / new * n) for old, new, n in zip(edges, SPACING, box.shape[1:], strict=True)]
    inside = np.ones(box.shape[1:], bool)  # the hole is filled
    ct, mr = (box[0].clip(-1.5, 1.4) - 0.2) / 0.9, (box[1] - box[1][inside].mean()) / box[1][inside].std()
    image = np.stack([zoomed(ct, size, 3), zoomed(mr, size, 3)]).astype(np.float32)
    padded, start = NNUNET.pad(torch.from_numpy(image), plan.patch_size)
    fade = NNUNET.fade(plan.patch_size, [], CPU)
    networks = [member.build() for member in packages]
    sums, weights = torch.zeros((3, *padded.shape[1:])), torch.zeros(padded.shape[1:])
    for corner in NNUNET.starts(tuple(padded.shape[1:]), plan.patch_size, 0.5):
        place = tuple(slice(first, first + n) for first, n in zip(corner, plan.patch_size, strict=True))
        window = padded[(slice(None), *place)][None]
        for network, axes in itertools.product(networks, flips):
            dims = [axis + 2 for axis in axes]
            sums[(slice(None), *place)] += network(window.flip(dims))[0].flip(dims)[0].detach() * fade
            weights[place] += fade
    seen = tuple(slice(first, first + n) for first, n in zip(start, size, strict=True))
    logits = (sums / weights)[(slice(None), *seen)].numpy()
    back = np.stack([zoomed(of_class, box.shape[1:], 1) for of_class in logits]).transpose(0, 3, 1, 2)
    p = torch.softmax(torch.from_numpy(back), dim=0).numpy()
    whole = np.zeros((3, 12, 15, 18))
    whole[0] = 1
    whole[(slice(None), *BOX)] = p
    return whole


@pytest.mark.parametrize(("members", "flips"), [(1, [()]), (2, [(), (0,), (2,), (0, 2)])])
def test_as_written_out_plainly(
    plan: Plan, channels: list[sitk.Image], members: int, flips: list[tuple[int, ...]], tmp_path: Path
) -> None:
    packages = [package(plan, seed) for seed in range(members)]
    predictor = Predictor(packages, CPU, transforms=[Transform(flips=axes) for axes in flips])
    maps = MapSelection(probabilities=True, uncertainty=True, slice_sums=True)
    prediction = predictor.segment(predictor.prepare(channels), maps=maps, spool=tmp_path)
    expected = plain_probabilities(channels, packages, flips)
    assert Geometry.of(prediction.labels) == Geometry.of(channels[0])
    labels = sitk.GetArrayFromImage(prediction.labels)
    first, second = np.sort(expected, axis=0)[::-1][:2]
    sure = first - second > 1e-3
    assert sure.mean() > 0.98 and len(np.unique(labels[sure])) == 3
    assert (labels == np.array([0, 3, 7])[expected.argmax(axis=0)])[sure].all()
    assert prediction.probabilities is not None and prediction.entropy is not None
    for index in range(2):
        p = sitk.GetArrayFromImage(prediction.to_image(prediction.probabilities.read(index)))
        np.testing.assert_allclose(p, expected[index + 1], atol=2e-3)
    prediction.probabilities.close()
    assert prediction.slice_sums is not None
    wrong = np.minimum(expected[1], 1 - expected[1])
    total = sum(prediction.slice_sums["z"][0])
    assert total == pytest.approx(wrong.sum(), rel=1e-2)


def test_a_two_dimensional_network_keeps_the_slices_of_the_first_axis(plan: Plan, channels: list[sitk.Image]) -> None:
    network = {**plan.network, "dims": 2, "strides": [[1, 1], [2, 2]], "kernels": [[3, 3], [3, 3]]}
    flat = replace(plan, dims=2, patch_size=(1, 12, 8), divisor=(1, 2, 2), network=network)
    prepared = Predictor(package(flat, 0), CPU).prepare(channels)
    (image,) = prepared.images.values()
    assert image.shape == (2, 14, round(13 * 0.9 / 0.8), round(9 * 2.5 / 2.2))


class TestWhatIsAveraged:
    def test_another_way_back_is_refused(self, plan: Plan) -> None:
        other = replace(plan, preparation=replace(ELSEWHERE, logits=Resampling(order=3, order_z=0)))
        own = replace(plan, preparation=None, normalization=(plan.normalization[0],) * 2)
        for second, words in ((other, "splines of order 3 and 0"), (own, "this program's own")):
            with pytest.raises(ModelError, match=f"the same ways from the file .*, and model 2 has .*{words}"):
                grouped([package(plan, 0), package(second, 1)])

    def test_grids_may_be_unequal(self, plan: Plan) -> None:
        coarse = replace(plan, spacing=(2.0, 1.0, 3.0))
        assert len(grouped([package(plan, 0), package(coarse, 1)])) == 2

    def test_what_the_other_program_mirrored_is_mirrored(self, plan: Plan) -> None:
        """It mirrored images with sides too, and its network is used to it."""
        transforms, warnings = choose_transforms(ApplyConfig(tta=True), [plan], "mirroring would turn 'l' into 'r'")
        assert [transform.flips for transform in transforms] == [(), (0,), (2,), (0, 2)] and warnings == []
        assert choose_transforms(ApplyConfig(tta=True), [replace(plan, flip_axes=())])[0] == (IDENTITY,)
