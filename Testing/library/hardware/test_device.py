"""Names of devices, and arithmetic on the CPU."""

from __future__ import annotations

import pytest
import torch

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.hardware.device import (
    Precision,
    choose_device,
    describe,
    memory_bytes,
    same_shapes,
    stacked_on_device,
    tensors_to_device,
    to_device,
)

HAS_GPU = torch.cuda.is_available() or torch.backends.mps.is_available()


class TestChooseDevice:
    def test_cpu(self) -> None:
        assert choose_device("cpu") == (torch.device("cpu"), None)

    @pytest.mark.skipif(HAS_GPU, reason="this machine has a GPU")
    def test_auto_without_a_gpu_is_the_cpu_and_no_warning(self) -> None:
        assert choose_device("auto") == (torch.device("cpu"), None)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
    @pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1"])
    def test_missing_cuda_falls_back_in_words(self, name: str) -> None:
        device, warning = choose_device(name)
        assert device == torch.device("cpu")
        assert warning is not None and f"'{name}'" in warning and "0 CUDA devices" in warning and "slower" in warning

    def test_a_gpu_number_beyond_the_last(self) -> None:
        device, warning = choose_device("cuda:99")
        assert device == torch.device("cpu")
        assert warning is not None and "cuda:99" in warning

    @pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has an Apple GPU")
    def test_missing_apple_gpu_falls_back_in_words(self) -> None:
        device, warning = choose_device("mps")
        assert device == torch.device("cpu")
        assert warning is not None and "no Apple GPU" in warning

    @pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "xpu"])
    def test_other_names_are_refused_with_those_that_work(self, name: str) -> None:
        with pytest.raises(UsageError, match="auto, cpu, cuda"):
            choose_device(name)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda(self) -> None:
        assert choose_device("auto") == (torch.device("cuda"), None)
        assert choose_device("cuda:0") == (torch.device("cuda:0"), None)
        assert "GB" in describe(torch.device("cuda"))


def test_the_cpu_in_words(cpu: torch.device) -> None:
    assert describe(cpu).startswith(f"CPU with {torch.get_num_threads()} thread")
    assert memory_bytes(cpu) is None


class TestTransfer:
    """On the way to a GPU nobody waits, which test_no_waiting_for_gpu.py shows."""

    def test_on_a_cpu_nothing_moves(self, cpu: torch.device) -> None:
        tensors = [torch.ones(2, 3), torch.zeros(4)]
        assert to_device(tensors[0], cpu) is tensors[0]
        assert all(moved is tensor for moved, tensor in zip(tensors_to_device(tensors, cpu), tensors, strict=True))

    @pytest.mark.parametrize("pin", [False, True])
    def test_stacked(self, cpu: torch.device, pin: bool) -> None:
        parts = [torch.arange(6.0).view(2, 3), torch.ones(2, 3)]
        assert torch.equal(stacked_on_device(parts, cpu, pin=pin), torch.stack(parts))

    def test_shapes_are_kept_in_one_message(self) -> None:
        tensors = [torch.ones(2, 3).T, torch.zeros(4), torch.tensor(2.0)]
        moved = tensors_to_device(tensors, torch.device("meta"))
        assert [(part.shape, part.device.type) for part in moved] == [(part.shape, "meta") for part in tensors]

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_values_arrive_on_a_gpu(self) -> None:
        cuda, parts = torch.device("cuda"), [torch.randn(3, 4).T, torch.randn(4, 3)]
        assert torch.equal(to_device(parts[0], cuda).cpu(), parts[0])
        assert torch.equal(stacked_on_device(parts, cuda).cpu(), torch.stack(parts))
        for moved, expected in zip(tensors_to_device(parts, cuda), parts, strict=True):
            assert torch.equal(moved.cpu(), expected)


def test_convolutions_are_tried_for_work_of_the_same_shapes_alone(cpu: torch.device) -> None:
    before = torch.backends.cudnn.benchmark
    with same_shapes(cpu):
        assert torch.backends.cudnn.benchmark == before
    with same_shapes(torch.device("cuda")):
        assert torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark == before


class TestPrecision:
    def product(self, precision: Precision) -> torch.Tensor:
        with precision.forward():
            return torch.ones(3, 3) @ torch.ones(3, 3)

    def test_mixed_is_bfloat16_on_a_cpu(self, cpu: torch.device) -> None:
        assert self.product(Precision(cpu, True)).dtype == torch.bfloat16

    def test_full_is_float32(self, cpu: torch.device) -> None:
        assert self.product(Precision(cpu, False)).dtype == torch.float32

    @pytest.mark.parametrize("mixed", [False, True])
    def test_a_step_moves_weights_by_unscaled_gradients(self, cpu: torch.device, mixed: bool) -> None:
        weight = torch.nn.Parameter(torch.tensor([2.0]))
        optimizer = torch.optim.SGD([weight], 0.5)
        precision = Precision(cpu, mixed)
        precision.backward((3 * weight).sum())
        precision.unscale(optimizer)
        precision.step(optimizer)
        assert weight.item() == pytest.approx(0.5)
