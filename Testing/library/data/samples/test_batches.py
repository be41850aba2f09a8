"""The batches of an epoch: their shapes, and that they follow from seed, epoch and place alone."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.samples.batches import epoch_batches
from MedSegTrainerLib.data.samples.cache import CachedCase, build_cache
from MedSegTrainerLib.data.samples.mixup_cutmix import Batch
from MedSegTrainerLib.data.samples.patches import classes_in
from MedSegTrainerLib.hardware.distributed import Ranks
from MedSegTrainerLib.imaging.geometry import Geometry

CPU = torch.device("cpu")


def make_case(name: str, shape: tuple[int, int, int], classes: list[int], seed: int) -> CachedCase:
    """Intensities around 10 * seed; a voxel of each class."""
    image = torch.randn((1, *shape), generator=torch.Generator().manual_seed(seed)) + 10 * seed
    label = torch.zeros(shape, dtype=torch.uint8)
    rows = []
    for number, value in enumerate(classes):
        label[1, 2, number] = value
        rows.append([value, 1, 2, number])
    locations = torch.tensor(rows, dtype=torch.int32).view(-1, 4)
    geometry = Geometry(size=(shape[2], shape[1], shape[0]))
    return CachedCase(name=name, image=image, label=label, locations=locations, geometry=geometry)


@pytest.fixture
def cases() -> list[CachedCase]:
    return [
        make_case("a", (6, 9, 14), [1], 0),
        make_case("b", (5, 11, 13), [1, 2], 1),
        make_case("c", (6, 8, 12), [], 2),
    ]


def some(plan: Plan, cases: list[CachedCase], epoch: int = 0, count: int = 4, **settings: object) -> list[Batch]:
    config = DataConfig(**settings)  # type: ignore[arg-type]
    return list(itertools.islice(epoch_batches(cases, plan, config, CPU, epoch), count))


@pytest.mark.parametrize("augmentation", [True, False])
def test_shapes_are_the_planned_ones(tiny_plan: Plan, cases: list[CachedCase], augmentation: bool) -> None:
    for images, labels in some(tiny_plan, cases, augmentation=augmentation):
        assert images.shape == (2, 1, 4, 8, 12) and images.dtype == torch.float32
        assert labels.shape == (2, 4, 8, 12) and labels.dtype == torch.int16


@pytest.mark.parametrize("augmentation", [True, False])
def test_neighbouring_slices_are_channels(tiny_plan: Plan, cases: list[CachedCase], augmentation: bool) -> None:
    plan = replace(tiny_plan, dims=2, patch_size=(1, 8, 12), divisor=(1, 2, 2), neighbour_slices=2)
    for images, labels in some(plan, cases, augmentation=augmentation):
        assert images.shape == (2, 5, 1, 8, 12)
        assert labels.shape == (2, 1, 8, 12)
        assert not torch.equal(images[:, 0], images[:, 2])


def test_they_follow_from_seed_and_epoch(tiny_plan: Plan, cases: list[CachedCase]) -> None:
    first, again, later, other = (
        some(tiny_plan, cases, epoch=epoch, seed=seed, mixup=0.5, cutmix=0.5)
        for epoch, seed in ((3, 1), (3, 1), (4, 1), (3, 2))
    )
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0][0], later[0][0]) and not torch.equal(first[0][0], other[0][0])


@pytest.mark.parametrize("augmentation", [True, False])
def test_another_epoch_cuts_other_patches_of_the_same_case(
    tiny_plan: Plan, cases: list[CachedCase], augmentation: bool
) -> None:
    """With one case the order of the cases tells no epoch from another."""
    settings = {"augmentation": augmentation, "foreground_oversampling": 0.0}
    first, again, later = (some(tiny_plan, cases[:1], epoch=epoch, **settings) for epoch in (0, 0, 1))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a[0], b[0]) for a, b in zip(first, later, strict=True))


def test_they_are_the_same_for_any_number_of_workers_and_any_place(
    tiny_plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path
) -> None:
    """Cases of several sizes, so that those prepared at the same time are not ready in their order."""
    image, label = oblique_case
    cases = []
    for index in range(6):
        paths = tmp_path / f"{index}.nrrd", tmp_path / f"{index}_label.nrrd"
        enlarged = [sitk.Expand(part, [1 + (index == 0)] * 3, sitk.sitkNearestNeighbor) for part in (image, label)]
        for part, path in zip(enlarged, paths, strict=True):
            sitk.WriteImage(part + index * (part is enlarged[0]), str(path))
        cases.append(Case(name=str(index), images=paths[:1], label=paths[1]))
    first: list[Batch] = []
    for workers, place in ((0, "memory"), (1, "disk"), (4, "memory"), (6, "disk")):
        plan = replace(tiny_plan, cache=place, spacing=(2.0, 0.9, 0.9))
        prepared = build_cache(cases, plan, tmp_path / f"cache-{workers}", CPU, num_workers=workers)
        config = DataConfig(num_workers=workers, foreground_oversampling=0.5, mixup=0.3, cutmix=0.3)
        batches = list(itertools.islice(epoch_batches(list(prepared.values()), plan, config, CPU, 1), 6))
        first = first or batches
        for batch, expected in zip(batches, first, strict=True):
            assert torch.equal(batch[0], expected[0]) and torch.equal(batch[1], expected[1])


def test_without_shuffling_the_cases_come_in_their_order(tiny_plan: Plan, cases: list[CachedCase]) -> None:
    plan = replace(tiny_plan, batch_size=3, samples_per_volume=1)
    (images, _), (again, _) = some(plan, cases, count=2, shuffle=False, augmentation=False)
    for batch in (images, again):
        assert [round(float(image.mean()) / 10) for image in batch] == [0, 1, 2]


def test_weighted_sampling_prefers_the_rare_class(tiny_plan: Plan, cases: list[CachedCase]) -> None:
    """b alone has class 2 (weight 1); a shares class 1 with it (1/2); c has no class (1/3)."""
    plan = replace(tiny_plan, batch_size=2, samples_per_volume=50)
    seen = np.zeros(3)
    for images, _ in some(plan, cases, count=200, case_sampling="weighted", augmentation=False):
        for image in images:
            seen[round(float(image.mean()) / 10)] += 1
    assert np.abs(seen / seen.sum() - np.array([3, 6, 2]) / 11).max() < 0.08


def test_a_share_of_the_batches_is_mixed(tiny_plan: Plan, cases: list[CachedCase]) -> None:
    lengths = {len(batch) for batch in some(tiny_plan, cases, count=20, mixup=0.5)}
    assert lengths == {2, 4}


@pytest.mark.parametrize("settings", [{}, {"mixup": 1.0}, {"cutmix": 1.0}, {"augmentation": False}])
def test_the_shares_of_ranks_are_the_batch_of_one(tiny_plan: Plan, cases: list[CachedCase], settings: Any) -> None:
    plan = replace(tiny_plan, batch_size=5)
    config = DataConfig(**settings)
    parts = [
        list(itertools.islice(epoch_batches(cases, plan, config, CPU, 2, Ranks(rank=rank, count=3)), 6))
        for rank in range(3)
    ]
    for whole, *shares in zip(some(plan, cases, epoch=2, count=6, **settings), *parts, strict=True):
        assert [len(share[0]) for share in shares] == [1, 2, 2]
        for index in range(len(whole) if len(whole) == 2 else 3):
            together = torch.cat([share[index] for share in shares])
            torch.testing.assert_close(together, whole[index], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"mixup": 1.0}, {"cutmix": 1.0}, {"augmentation": False}])
@pytest.mark.parametrize("dims", [3, 2])
def test_every_patch_of_a_case_with_one_labelled_slice_has_a_part_of_it(
    tiny_plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, dims: int, settings: Any
) -> None:
    """From files on: coarser across the slice than it is thick; in 2D also slices that cross it."""
    image, label = oblique_case
    values = sitk.GetArrayFromImage(label)
    values[:, :, np.arange(values.shape[2]) != 8] = 0  # x of the file is y of the patient
    drawn = sitk.GetImageFromArray(values)
    drawn.CopyInformation(label)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    sitk.WriteImage(drawn, str(tmp_path / "l.nrrd"))
    case = Case(name="a", images=(tmp_path / "a.nrrd",), label=tmp_path / "l.nrrd", labelled_slices="auto")
    classes = tuple(replace(item, value=value) for value, item in enumerate(tiny_plan.classes, start=1))
    plan = replace(tiny_plan, spacing=(2.5, 1.7, 1.1), ignore_label=-1, classes=classes)
    plan = replace(plan, dims=2, patch_size=(1, 8, 12), divisor=(1, 2, 2)) if dims == 2 else plan
    cached = list(build_cache([case], plan, tmp_path / "cache", CPU).values())
    known = np.flatnonzero((cached[0].label >= 0).any(dim=2).any(dim=0).numpy())
    assert len(known) == 1 and classes_in(cached[0]) == {1, 2}
    for oversampling in (0.0, 1.0):
        for batch in some(plan, cached, count=25, foreground_oversampling=oversampling, **settings):
            assert (batch[1] >= 0).flatten(1).any(1).all()
