"""Spacing, patch and topology for data sets as they come: tiny, anisotropic, large, flat."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from MedSegTrainerLib.classes import classes_from_values
from MedSegTrainerLib.data.checks.fingerprint import ChannelIntensities, Fingerprint
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.planning.shapes import (
    CONTEXT,
    MOST_FEATURES,
    PATCH_VOXELS_CPU,
    PATCH_VOXELS_GPU,
    SMALLEST_MAP,
    Spacing,
    Topology,
    Triple,
    choose_patch,
    choose_spacing,
    choose_topology,
    median_size,
    network_parameters,
    patch_voxels,
    topology_for_patch,
)

VOXELS = PATCH_VOXELS_CPU[3]

# median size in voxels and spacing in mm, (z, y, x)
VOLUMES: dict[str, tuple[Triple, Spacing]] = {
    "hippocampus": ((36, 50, 35), (1.0, 1.0, 1.0)),
    "abdominal CT": ((100, 512, 512), (5.0, 0.8, 0.8)),
    "cardiac MR": ((9, 256, 216), (10.0, 1.4, 1.4)),
    "thin slices in y": ((300, 20, 260), (0.7, 6.0, 0.9)),
    "tiny": ((3, 5, 2), (1.0, 1.0, 1.0)),
    "one slice": ((1, 300, 260), (1.0, 0.8, 0.8)),
    "long": ((1000, 64, 48), (1.0, 1.0, 1.0)),
    "header in metres": ((10, 800, 700), (1.0, 1e-3, 1e-3)),
}
SHAPES = list(VOLUMES.values())


def fingerprint(
    sizes: Sequence[Triple], spacings: Sequence[Spacing], *, dims: int = 3, smallest_mm3: float = 5000.0
) -> Fingerprint:
    classes = tuple(classes_from_values([1, 2], {1: "liver", 2: "vessel"}))
    channel = ChannelIntensities(
        name="CT", low=-1000, high=900, percentile_00_5=-50, percentile_99_5=200, mean=60, std=40
    )  # fmt: skip
    return Fingerprint(
        cases=len(sizes), dims=dims, sizes=np.array(sizes), spacings=np.array(spacings), channels=(channel,),
        classes=classes, cases_with={"liver": len(sizes), "vessel": len(sizes)},
        voxel_share={"liver": 0.1, "vessel": 0.02}, median_volume_mm3={"liver": 1e6, "vessel": smallest_mm3},
    )  # fmt: skip


class TestSpacing:
    def test_small_isotropic_volumes_stay_as_they_are(self) -> None:
        data = fingerprint([(36, 50, 35), (40, 48, 33), (30, 55, 36)], [(1.0, 1.0, 1.0)] * 3)
        spacing, reason = choose_spacing(data, 3, VOXELS)
        assert spacing == (1.0, 1.0, 1.0)
        assert reason == "median spacing of the cases"

    def test_the_median_of_the_cases_axis_by_axis(self) -> None:
        data = fingerprint([(20, 30, 40)] * 3, [(1.0, 2.0, 1.5), (2.0, 1.0, 1.2), (1.5, 1.1, 1.9)])
        assert choose_spacing(data, 3, VOXELS)[0] == (1.5, 1.1, 1.5)

    def test_where_slices_are_thick_the_finest_tenth_counts(self) -> None:
        data = fingerprint([(30, 60, 50)] * 3, [(5.0, 0.8, 0.9), (5.0, 0.8, 0.9), (2.0, 0.8, 0.9)])
        spacing, reason = choose_spacing(data, 3, 10**9)
        assert spacing == pytest.approx((2.6, 0.8, 0.9))
        assert "finest tenth" in reason

    def test_but_never_finer_than_the_other_axes(self) -> None:
        finer = fingerprint([(30, 60, 50)] * 11, [(5.0, 0.8, 0.9)] * 8 + [(0.1, 0.8, 0.9)] * 3)
        assert choose_spacing(finer, 3, 10**9)[0] == (0.9, 0.8, 0.9)

    def test_a_large_ct_gets_coarser_in_the_fine_axes_until_a_patch_sees_enough(self) -> None:
        data = fingerprint([(100, 512, 512)] * 3, [(5.0, 0.8, 0.8)] * 3, smallest_mm3=1e6)
        (z, y, x), reason = choose_spacing(data, 3, VOXELS)
        assert y == x > 2.5 and 5.0 <= z < 6  # z follows once the others have come near it
        assert np.prod(median_size(data, (z, y, x), 3)) * CONTEXT <= VOXELS
        assert "times coarser" in reason

    def test_but_not_so_coarse_that_the_smallest_class_gets_lost(self) -> None:
        data = fingerprint([(100, 512, 512)] * 3, [(5.0, 0.8, 0.8)] * 3, smallest_mm3=2000.0)
        spacing, _ = choose_spacing(data, 3, VOXELS)
        assert 2000.0 / np.prod(spacing) >= 200
        assert spacing[1] > 0.8

    def test_slices_of_their_own_keep_their_distance(self) -> None:
        data = fingerprint([(1, 3000, 4000)] * 2, [(7.0, 0.1, 0.1)] * 2, dims=2)
        (z, y, x), _ = choose_spacing(data, 2, PATCH_VOXELS_CPU[2])
        assert z == 7.0 and y == x > 0.3


class TestPatch:
    @pytest.mark.parametrize("voxels", [VOXELS, PATCH_VOXELS_GPU[3], 5000])
    @pytest.mark.parametrize(("size", "spacing"), SHAPES, ids=list(VOLUMES))
    def test_fits_strides_limit_and_volume(self, size: Triple, spacing: Spacing, voxels: int) -> None:
        patch, topology = choose_patch(size, spacing, 3, voxels, choose_topology)
        assert [p % d for p, d in zip(patch, topology.divisor, strict=True)] == [0, 0, 0]
        assert np.prod(patch) <= voxels
        assert all(p < n + d for p, n, d in zip(patch, size, topology.divisor, strict=True))
        assert all(p // d >= min(n, SMALLEST_MAP) for p, n, d in zip(patch, size, topology.divisor, strict=True))

    @pytest.mark.parametrize("voxels", [PATCH_VOXELS_CPU[2], PATCH_VOXELS_GPU[2]])
    @pytest.mark.parametrize(("size", "spacing"), SHAPES, ids=list(VOLUMES))
    def test_in_2d_it_has_one_slice(self, size: Triple, spacing: Spacing, voxels: int) -> None:
        patch, topology = choose_patch((1, *size[1:]), spacing, 2, voxels, choose_topology)
        assert patch[0] == 1
        assert {stride[0] for stride in topology.strides} == {1}
        assert np.prod(patch) <= voxels
        assert [p % d for p, d in zip(patch, topology.divisor, strict=True)] == [0, 0, 0]

    def test_covers_a_volume_that_fits(self) -> None:
        patch, _ = choose_patch((36, 50, 35), (1.0, 1.0, 1.0), 3, VOXELS, choose_topology)
        assert patch == (40, 56, 40)

    def test_is_about_a_cube_of_anatomy_where_the_volume_is_too_large(self) -> None:
        patch, _ = choose_patch((100, 512, 512), (5.0, 0.8, 0.8), 3, VOXELS, choose_topology)
        millimetres = np.array(patch) * (5.0, 0.8, 0.8)
        assert millimetres.max() < 2 * millimetres.min()

    def test_a_coarse_axis_that_cannot_shrink_leaves_it_to_the_others(self) -> None:
        """Four slices 100 mm apart are longest in mm, and as few as a patch may have."""
        patch, _ = choose_patch((4, 512, 400), (100.0, 0.5, 0.5), 3, VOXELS, choose_topology)
        assert patch[0] == 4 and np.prod(patch) <= VOXELS


class TestTopology:
    def test_all_axes_are_halved_alike_where_they_are_alike(self) -> None:
        topology = choose_topology((40, 56, 40), (1.0, 1.0, 1.0), 3)
        assert topology.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
        assert set(topology.kernels) == {(3, 3, 3)}

    @pytest.mark.parametrize("coarse", [0, 1, 2])
    def test_the_coarse_axis_is_halved_later_and_seen_later(self, coarse: int) -> None:
        spacing, patch = [0.8, 0.8, 0.8], [96, 96, 96]
        spacing[coarse], patch[coarse] = 5.0, 32
        topology = choose_topology((patch[0], patch[1], patch[2]), (spacing[0], spacing[1], spacing[2]), 3)
        strides, kernels = np.array(topology.strides), np.array(topology.kernels)
        fine = [axis for axis in range(3) if axis != coarse]
        assert strides[1:3, coarse].tolist() == [1, 1]
        assert (strides[1:3, fine] == 2).all()
        assert topology.divisor[coarse] < topology.divisor[fine[0]]
        assert kernels[0].tolist() == [1 if axis == coarse else 3 for axis in range(3)]
        assert kernels[-1].tolist() == [3, 3, 3]

    def test_a_short_axis_stops_and_the_others_go_on(self) -> None:
        strides = np.array(choose_topology((8, 64, 32), (1.0, 1.0, 1.0), 3).strides)
        assert strides.prod(axis=0).tolist() == [2, 16, 8]

    @pytest.mark.parametrize(("size", "spacing"), SHAPES, ids=list(VOLUMES))
    @pytest.mark.parametrize("dims", [2, 3])
    def test_begins_without_a_stride_and_ends_in_time(self, size: Triple, spacing: Spacing, dims: int) -> None:
        topology = choose_topology(size if dims == 3 else (1, *size[1:]), spacing, dims)
        assert topology.strides[0] == (1, 1, 1)
        assert len(topology.strides) == len(topology.kernels) <= {2: 7, 3: 5}[dims]
        assert all(max(stride) == 2 for stride in topology.strides[1:])

    @pytest.mark.parametrize(
        ("patch", "divisor"),
        [((16, 32, 48), (4, 8, 8)), ((10, 30, 30), (2, 2, 2)), ((15, 31, 33), (1, 1, 1)), ((8, 12, 40), (2, 2, 8))],
    )
    def test_for_a_given_patch_it_is_as_deep_as_the_patch_allows(self, patch: Triple, divisor: Triple) -> None:
        assert topology_for_patch(patch, (1.0, 1.0, 1.0), 3, choose_topology).divisor == divisor


class TestNetworkParameters:
    @pytest.mark.parametrize(("dims", "name"), list(itertools.product((2, 3), VOLUMES)))
    def test_make_a_network_that_takes_the_patch(self, dims: int, name: str) -> None:
        size, spacing = VOLUMES[name]
        patch, topology = choose_patch(size if dims == 3 else (1, *size[1:]), spacing, dims, 6000, choose_topology)
        network = build_network("PlannedUNet", network_parameters(topology, 4, dims, 2, 3, True)).train()
        shape = patch if dims == 3 else patch[1:]
        logits = network(torch.randn(1, 2, *shape))
        assert tuple(logits[0].shape) == (1, 3, *shape)
        assert len(logits) == max(1, len(topology.strides) - 2)

    def test_features_double_up_to_a_limit(self) -> None:
        topology = Topology(strides=((1, 1, 1), *[(2, 2, 2)] * 4), kernels=((3, 3, 3),) * 5)
        assert network_parameters(topology, 32, 3, 1, 2, True)["features"] == [32, 64, 128, 256, MOST_FEATURES[3]]

    def test_two_levels_have_nothing_to_supervise(self) -> None:
        topology = Topology(strides=((1, 1, 1), (2, 2, 2)), kernels=((3, 3, 3),) * 2)
        assert not network_parameters(topology, 8, 3, 1, 2, True)["deep_supervision"]
        assert not network_parameters(topology, 8, 3, 1, 2, False)["deep_supervision"]


def test_the_cpu_gets_small_patches(cpu: torch.device) -> None:
    assert [patch_voxels(dims, cpu) for dims in (2, 3)] == [256**2, 48**3]


def test_median_size_is_that_of_the_volumes_at_the_spacing() -> None:
    data = fingerprint(
        [(10, 100, 60), (20, 80, 50), (30, 120, 70)], [(5.0, 1.0, 1.0), (2.5, 1.0, 1.0), (2.5, 1.0, 1.0)]
    )
    assert median_size(data, (5.0, 2.0, 0.5), 3) == (10, 50, 120)
    assert median_size(data, (5.0, 2.0, 0.5), 2) == (1, 50, 120)
