"""Steps that do not fit: made smaller until they do, with the same step where that is possible."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.hardware.memory import Measured, fit_to_memory, is_out_of_memory, smaller
from MedSegTrainerLib.networks import build_network

UNETR = {
    "in_channels": 1, "out_channels": 3, "img_size": [32, 64, 48], "embed_dim": 12, "num_heads": 1, "num_layers": 1,
    "norm": "instance", "dropout": 0.0,
}  # fmt: skip


@pytest.fixture
def unetr(tiny_plan: Plan) -> Plan:
    return replace(
        tiny_plan, architecture="UNETR", network=UNETR, patch_size=(32, 64, 48), divisor=(16, 16, 16), batch_size=1
    )


class Device:
    """A device that can take so many voxels at once, and remembers what was tried on it."""

    def __init__(self, voxels: int) -> None:
        self.voxels = voxels
        self.tried: list[tuple[int, tuple[int, int, int]]] = []

    def __call__(self, plan: Plan) -> Measured:
        self.tried.append((plan.batch_size, plan.patch_size))
        fits = plan.batch_size * math.prod(plan.patch_size) <= self.voxels
        return plan, 0.5 if fits else math.inf, "measured"


class TestErrors:
    def test_of_memory(self) -> None:
        assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
        assert is_out_of_memory(MemoryError())
        assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9.07 GB)"))

    def test_of_a_cpu_are_words(self) -> None:
        with pytest.raises(RuntimeError) as caught:
            torch.empty(2**50)
        assert is_out_of_memory(caught.value)

    def test_others_are_none(self) -> None:
        assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
        assert not is_out_of_memory(ValueError("not enough memory"))


class TestSmaller:
    def test_first_the_batch_in_pieces_which_are_the_same_step(self, tiny_plan: Plan) -> None:
        plan = smaller(replace(tiny_plan, batch_size=8, batch_parts=2), is_trained=True)
        assert plan is not None
        assert (plan.batch_size, plan.batch_parts, plan.patch_size) == (4, 4, tiny_plan.patch_size)
        assert "4 at a time" in plan.reasons["batch_size"]

    def test_then_the_patch_along_its_longest_axis(self, tiny_plan: Plan) -> None:
        """4 x 8 x 12 voxels are 10 x 8.8 x 9.6 mm, so z goes first, then x; 'divisor' is 1, 2, 2."""
        plan = smaller(replace(tiny_plan, batch_size=1), is_trained=True)
        assert plan is not None
        assert plan.patch_size == (3, 6, 10)
        assert (plan.batch_size, plan.batch_parts) == (1, 1)
        assert "4 x 8 x 12 need more memory" in plan.reasons["patch_size"]

    def test_it_stays_what_the_network_takes_until_nothing_is_left(self, tiny_plan: Plan) -> None:
        plan: Plan | None = replace(tiny_plan, patch_size=(48, 96, 64), divisor=(8, 16, 16), batch_size=4)
        sizes = []
        while plan is not None:
            assert [p % d for p, d in zip(plan.patch_size, plan.divisor, strict=True)] == [0, 0, 0]
            assert math.prod(p // d for p, d in zip(plan.patch_size, plan.divisor, strict=True)) >= 4
            sizes.append(plan.batch_size * math.prod(plan.patch_size))
            plan = smaller(plan, is_trained=True)
        assert all(0.3 * before < after <= 0.6 * before for before, after in itertools.pairwise(sizes[:-1]))
        assert sizes[-1] < 7 * 8 * 16 * 16

    def test_batch_norm_keeps_two_patches(self, tiny_plan: Plan) -> None:
        network = {**tiny_plan.network, "norm": "batch"}
        plan = smaller(replace(tiny_plan, batch_size=2, network=network), is_trained=True)
        assert plan is not None
        assert plan.batch_size == 2 and plan.patch_size != tiny_plan.patch_size

    def test_slices_stay_slices(self, tiny_plan: Plan) -> None:
        plan = smaller(
            replace(tiny_plan, dims=2, patch_size=(1, 64, 48), divisor=(1, 16, 16), batch_size=1), is_trained=True
        )
        assert plan is not None and plan.patch_size == (1, 32, 48)

    def test_learned_places_keep_their_patch(self, unetr: Plan) -> None:
        assert smaller(unetr, is_trained=True) is None

    def test_places_that_are_not_yet_learned_get_a_smaller_one(self, unetr: Plan) -> None:
        plan = smaller(unetr, is_trained=False)
        assert plan is not None
        assert plan.network["img_size"] == list(plan.patch_size) != UNETR["img_size"]
        network = build_network(plan.architecture, plan.network)
        assert network(torch.zeros(1, 1, *plan.patch_size))[0].shape[2:] == plan.patch_size
        assert ARCHITECTURES["UNETR"].is_fixed


class TestFit:
    def test_what_fits_stays(self, tiny_plan: Plan) -> None:
        device = Device(10**6)
        assert fit_to_memory(tiny_plan, device) == (tiny_plan, 0.5, "measured")
        assert len(device.tried) == 1

    def test_tries_less_and_less(self, tiny_plan: Plan) -> None:
        device = Device(4 * 8 * 12)
        plan, seconds, _ = fit_to_memory(replace(tiny_plan, batch_size=4), device)
        assert device.tried == [(4, (4, 8, 12)), (2, (4, 8, 12)), (1, (4, 8, 12))]
        assert (plan.batch_size, plan.batch_parts, seconds) == (1, 4, 0.5)

    def test_nothing_fits(self, tiny_plan: Plan) -> None:
        with pytest.raises(TrainingError, match=r"Not even a patch of .* with PlannedUNet\. Choose a smaller network"):
            fit_to_memory(tiny_plan, Device(3))
