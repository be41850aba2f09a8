"""The levels of nnU-Net's networks: those of every published plan, and what the rule says at its edges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.planning.nnunet_topology import nnunet_parameters, nnunet_topology
from MedSegTrainerLib.planning.shapes import Spacing, Topology, Triple, choose_patch, topology_for_patch

PUBLISHED = sorted((Path(__file__).resolve().parents[4] / "shared" / "data" / "nnunet_plans").glob("*/*lans.json"))
BY_HAND = "flare23 3d_fullres"  # its authors changed spacing and patch, and left the levels
SHAPES: list[tuple[Triple, Spacing]] = [
    ((36, 50, 35), (1.0, 1.0, 1.0)), ((100, 512, 512), (5.0, 0.8, 0.8)), ((9, 256, 216), (10.0, 1.4, 1.4)),
    ((300, 20, 260), (0.7, 6.0, 0.9)), ((1000, 64, 48), (1.0, 1.0, 1.0)),
]  # fmt: skip


def published() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for file in PUBLISHED:
        written = json.loads(file.read_text(encoding="utf-8"))["configurations"]
        found += [(f"{file.parent.name} {name}", entry) for name, entry in written.items() if "spacing" in entry]
    return [(name, entry) for name, entry in found if name != BY_HAND]


@pytest.mark.skipif(not PUBLISHED, reason="the published plans are not here")
@pytest.mark.parametrize(("name", "entry"), published(), ids=[name for name, _ in published()])
def test_of_published_plans(name: str, entry: dict[str, Any]) -> None:
    """Their own patch and spacing give their strides and kernels, and width and depth follow."""
    dims = len(entry["patch_size"])
    ahead = [1] * (3 - dims)
    edges, mm = [*ahead, *entry["patch_size"]], [*ahead, *entry["spacing"]]
    topology = nnunet_topology((edges[0], edges[1], edges[2]), (mm[0], mm[1], mm[2]), dims)
    described = entry.get("architecture", {}).get("arch_kwargs", {})
    is_residual = "n_blocks_per_stage" in described
    parameters = nnunet_parameters("ResEncUNet" if is_residual else "PlainConvUNet", topology, 32, dims, 1, 2, True)
    assert parameters["strides"] == described.get("strides", entry.get("pool_op_kernel_sizes"))
    assert parameters["kernels"] == described.get("kernel_sizes", entry.get("conv_kernel_sizes"))
    blocks = described.get("n_blocks_per_stage" if is_residual else "n_conv_per_stage")
    assert parameters["blocks"] == (blocks or entry.get("n_conv_per_stage_encoder"))
    if described:
        assert parameters["features"] == described["features_per_stage"]
        assert parameters["decoder_blocks"] == described["n_conv_per_stage_decoder"][::-1]


class TestRule:
    def test_a_coarse_axis_is_halved_when_the_others_have_come_near(self) -> None:
        topology = nnunet_topology((32, 128, 128), (3.0, 1.0, 1.0), 3)
        assert topology.strides == ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
        assert topology.kernels == ((1, 3, 3), *[(3, 3, 3)] * 5)

    def test_a_kernel_of_3_stays(self) -> None:
        """The first axis is near until it cannot be halved any more, and far from the others never again."""
        topology = nnunet_topology((8, 64, 64), (1.0, 1.0, 1.0), 3)
        assert topology.strides == ((1, 1, 1), (2, 2, 2), (1, 2, 2), (1, 2, 2), (1, 2, 2))
        assert topology.kernels == ((3, 3, 3),) * 5

    @pytest.mark.parametrize(("edge", "levels"), [(8, 1), (11, 1), (12, 2), (24, 3)])
    def test_one_axis_alone_needs_three_smallest_maps(self, edge: int, levels: int) -> None:
        assert len(nnunet_topology((4, 4, edge), (1.0, 1.0, 1.0), 3).strides) == levels

    def test_in_2d_slices_stay_slices(self) -> None:
        topology = nnunet_topology((1, 64, 32), (0.5, 1.0, 1.0), 2)
        assert topology.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2))
        assert topology.kernels == ((1, 3, 3),) * 4

    def test_no_level_for_a_tiny_patch(self) -> None:
        assert nnunet_topology((7, 5, 6), (1.0, 1.0, 1.0), 3) == Topology(strides=((1, 1, 1),), kernels=((3, 3, 3),))

    def test_fewer_levels_end_with_a_kernel_of_3(self) -> None:
        topology = nnunet_topology((32, 128, 128), (9.0, 1.0, 1.0), 3, levels=2)
        assert topology.strides == ((1, 1, 1), (1, 2, 2)) and topology.kernels == ((1, 3, 3), (3, 3, 3))


class TestPatch:
    @pytest.mark.parametrize("dims", [2, 3])
    @pytest.mark.parametrize(("size", "spacing"), SHAPES)
    @pytest.mark.parametrize("name", ["PlainConvUNet", "ResEncUNet"])
    def test_its_network_takes_it(self, name: str, size: Triple, spacing: Spacing, dims: int) -> None:
        size = size if dims == 3 else (1, *size[1:])
        patch, topology = choose_patch(size, spacing, dims, 6000, nnunet_topology)
        assert [edge % step for edge, step in zip(patch, topology.divisor, strict=True)] == [0, 0, 0]
        parameters = nnunet_parameters(name, topology, 4, dims, 2, 3, True)
        logits = build_network(name, parameters).train()(torch.randn(2, 2, *patch[3 - dims :]))
        assert tuple(logits[0].shape) == (2, 3, *patch[3 - dims :])
        assert len(logits) == max(1, len(topology.strides) - 2)

    @pytest.mark.parametrize(
        ("patch", "divisor"), [((40, 48, 24), (8, 8, 4)), ((40, 50, 24), (2, 2, 2)), ((41, 48, 24), (1, 1, 1))]
    )
    def test_as_deep_as_a_given_one_allows(self, patch: Triple, divisor: Triple) -> None:
        topology = topology_for_patch(patch, (1.0, 1.0, 1.0), 3, nnunet_topology)
        assert topology.divisor == divisor and topology.kernels[-1] == (3, 3, 3)


def test_width_and_depth_of_many_levels() -> None:
    topology = nnunet_topology((1, 512, 512), (1.0, 1.0, 1.0), 2)
    plain, residual = (nnunet_parameters(name, topology, 32, 2, 1, 3, True) for name in ("PlainConvUNet", "ResEncUNet"))
    assert plain["features"] == residual["features"] == [32, 64, 128, 256, 512, 512, 512, 512]
    assert (plain["blocks"], plain["decoder_blocks"]) == ([2] * 8, [2] * 7)
    assert (residual["blocks"], residual["decoder_blocks"]) == ([1, 3, 4, 6, 6, 6, 6, 6], [1] * 7)
