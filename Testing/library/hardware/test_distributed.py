"""One rank of many, and one alone; several real processes are in Testing/integration/test_ranks.py."""

from __future__ import annotations

import pytest
import torch

from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.hardware.distributed import ALONE, Ranks, device_of, joined


@pytest.mark.parametrize(("count", "length"), [(1, 5), (2, 9), (3, 4), (4, 4), (5, 16)])
def test_the_shares_are_all_and_as_equal_as_can_be(count: int, length: int) -> None:
    shares = [list(range(length))[Ranks(rank=rank, count=count).share(length)] for rank in range(count)]
    assert [patch for share in shares for patch in share] == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_nothing_is_said_and_nothing_changes() -> None:
    tensor = torch.tensor([1.5, -2.0])
    ALONE.all_reduce([tensor])
    ALONE.broadcast_tensors([tensor])
    assert tensor.tolist() == [1.5, -2.0]
    assert ALONE.broadcast("stop") == "stop" and ALONE.first_does(lambda: 7) == 7
    assert ALONE.gather(3) == [3] and ALONE.any(True) and not ALONE.any(False)


def test_without_torchrun_a_process_is_alone() -> None:
    with joined() as ranks:
        assert ranks is ALONE and ranks.is_first


def test_cores_are_divided_and_gpus_are_counted() -> None:
    cpu, threads = torch.device("cpu"), torch.get_num_threads()
    assert device_of(cpu, ALONE) == cpu and torch.get_num_threads() == threads
    try:
        assert device_of(cpu, Ranks(rank=1, count=1000, neighbours=1000)) == cpu
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    with pytest.raises(TrainingError, match="Start as many as there are GPUs"):
        device_of(torch.device("cuda"), Ranks(count=99, neighbours=99))
