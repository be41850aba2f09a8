"""How many folds train at once, and with what."""

from __future__ import annotations

import os

import pytest

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.jobs.fold_scheduler import Worker, fold_workers


class TestWorkers:
    def test_each_gpu_is_a_place_with_its_share_of_the_cores(self) -> None:
        workers, warning = fold_workers("auto", "auto", 5, gpus=3, threads=8)
        assert workers == [Worker(device=f"cuda:{index}", threads=2) for index in range(3)] and warning is None

    def test_no_more_than_folds_or_gpus(self) -> None:
        assert len(fold_workers(4, "cuda", 2, gpus=4, threads=4)[0]) == 2
        workers, warning = fold_workers(4, "cuda", 5, gpus=2, threads=4)
        assert len(workers) == 2 and warning == "4 devices were asked for, and PyTorch sees 2: these are used."

    def test_folds_on_a_cpu_share_its_cores(self) -> None:
        assert fold_workers(2, "cpu", 5, gpus=0, threads=5) == ([Worker(device="cpu", threads=2)] * 2, None)
        assert fold_workers(4, "auto", 5, gpus=0, threads=2)[0] == [Worker(device="auto", threads=1)] * 4

    @pytest.mark.parametrize(("requested", "gpus"), [(1, 0), (1, 4), ("auto", 0), ("auto", 1)])
    def test_one_alone_has_all_of_the_computer(self, requested: int, gpus: int) -> None:
        assert fold_workers(requested, "auto", 5, gpus=gpus, threads=8) == ([Worker(device="auto")], None)

    def test_a_device_that_nobody_knows_is_told_before_a_fold_begins(self) -> None:
        with pytest.raises(UsageError, match="abacus"):
            fold_workers(2, "abacus", 5)

    def test_threads_reach_the_process(self) -> None:
        shared = Worker(device="cpu", threads=3).environment()
        assert shared["OMP_NUM_THREADS"] == shared["MKL_NUM_THREADS"] == "3" and shared["PATH"] == os.environ["PATH"]
        assert Worker(device="cpu").environment() == dict(os.environ)
