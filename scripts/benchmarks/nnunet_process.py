"""The other side of ``nnunet.py``: plans with nnU-Net's planner, then does steps of its trainer when told to.

Started with the Python of an environment that has the package nnunetv2, with its three folders in the variables
nnUNet_raw, nnUNet_preprocessed and nnUNet_results. Answers are lines of JSON: first what was planned, then one for
each line of input, which is one of STEPS; the end of the input ends it. What nnU-Net prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

DATASET = 1
CONFIGURATION = "3d_fullres"
BATCHES = 2  # drawn and augmented by its own loader before anything is timed


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    planner, device, threads = sys.argv[1:]
    trainer = _trainer(planner, torch.device(device))
    batches = [next(trainer.dataloader_train) for _ in range(BATCHES)]
    torch.set_num_threads(int(threads))  # now: planning and augmentation set it too
    steps = {name: _step(trainer, *make(trainer)) for name, make in STEPS.items()}
    _answer(answers, _facts(trainer, batches[0]))
    for count, line in enumerate(sys.stdin):
        _answer(answers, _timed(steps[line.strip()], batches[count % BATCHES], trainer.device))


def _trainer(planner: str, device: torch.device) -> Any:
    """nnU-Net's trainer at the beginning of its first epoch, as its ``run_training`` has it."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )
    from nnunetv2.run.run_training import get_trainer_from_args

    extract_fingerprints([DATASET], num_processes=1)
    plans = plan_experiments([DATASET], planner)
    preprocess([DATASET], plans, (CONFIGURATION,), (1,))
    trainer = get_trainer_from_args(str(DATASET), CONFIGURATION, "all", plans_identifier=plans, device=device)
    os.environ.update(nnUNet_n_proc_DA="0")  # no processes beside the step; planning would not begin with 0
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


Way = tuple[Any, AbstractContextManager[Any]]


def _plain(trainer: Any) -> Way:
    return trainer.network, nullcontext()


def _compiled(trainer: Any) -> Way:
    return torch.compile(trainer.network), nullcontext()


def _bfloat16(trainer: Any) -> Way:
    return trainer.network, torch.autocast(trainer.device.type, torch.bfloat16)


STEPS: dict[str, Callable[[Any], Way]] = {"plain": _plain, "compiled": _compiled, "bfloat16": _bfloat16}


def _step(trainer: Any, network: Any, arithmetic: AbstractContextManager[Any]) -> Callable[[Any], float]:
    """The trainer's ``train_step``, with one of its networks, in an arithmetic; 'plain' leaves both as they are."""

    def step(batch: Any) -> float:
        trainer.network = network
        with arithmetic:
            return float(trainer.train_step(batch)["loss"])

    return step


def _timed(step: Callable[[Any], float], batch: Any, device: torch.device) -> dict[str, Any]:
    """Seconds and loss of a step, or why it failed: not every machine can compile, or has every arithmetic."""
    started = time.perf_counter()
    try:
        loss = step(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
    return {"seconds": time.perf_counter() - started, "loss": loss}


def _gflop(trainer: Any, batch: Any) -> float:
    """Of a step forwards and backwards; a compiled network hides its operations, so that it is not the one used."""
    network = trainer.network
    plain = getattr(network, "_orig_mod", network)
    with FlopCounterMode(display=False) as counter:
        _step(trainer, plain, nullcontext())(batch)
    trainer.network = network
    return float(counter.get_total_flops()) / 1e9


def _facts(trainer: Any, batch: Any) -> dict[str, Any]:
    """What was planned, in plain data."""
    configuration = trainer.configuration_manager
    kwargs = configuration.network_arch_init_kwargs
    return {
        "versions": {"nnunetv2": metadata.version("nnunetv2"), "torch": torch.__version__},
        "network": configuration.network_arch_class_name.rpartition(".")[2],
        "kwargs": {name: value for name, value in kwargs.items() if isinstance(value, (bool, int, list, tuple))},
        "in_channels": trainer.num_input_channels,
        "out_channels": trainer.label_manager.num_segmentation_heads,
        "patch_size": [int(n) for n in configuration.patch_size],
        "batch_size": int(trainer.batch_size),
        "spacing": [float(mm) for mm in configuration.spacing],
        "data": [list(batch["data"].shape), str(batch["data"].dtype)],
        "gflop": _gflop(trainer, batch),
        "parameters": sum(weights.numel() for weights in trainer.network.parameters()),
        "optimizer": type(trainer.optimizer).__name__,
        "compiles": bool(trainer._do_i_compile()),
        "threads": torch.get_num_threads(),
    }


def _answer(answers: Any, values: dict[str, Any]) -> None:
    answers.write(json.dumps(values) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
