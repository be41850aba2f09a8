"""Several processes that train one model together, on one machine or many; each is a rank, as torchrun calls it.

Every rank does the same steps with a share of each batch. What depends on a clock, a file or a user is decided by the
first rank for all; it alone writes to the job folder, which all of them see.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from MedSegTrainerLib.errors import MedSegError, TrainingError
from MedSegTrainerLib.hardware.device import usable_cores

PATIENCE = timedelta(minutes=30)  # how long ranks wait for one another: the first one plans while the others wait
FAILURE = "failure"  # where a rank that ends leaves its message

T = TypeVar("T")


class RankLostError(TrainingError):
    """Another process of the training is gone."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among all: ``rank`` of ``count``, and ``local`` of ``neighbours`` on this machine.

    Its methods must be called by all ranks, in the same order; alone they do nothing and cost nothing. They raise
    RankLostError where another rank has ended.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    neighbours: int = 1
    store: Any = None  # of torch.distributed: messages that outlive the rank that left them
    control_group: Any = None  # a group of its own for everything but gradients: no GPU is waited for

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, length: int) -> slice:
        """This rank's part of so many patches; the parts are as equal as can be."""
        return slice(self.rank * length // self.count, (self.rank + 1) * length // self.count)

    def broadcast(self, value: T) -> T:
        """The value that the first rank gave."""
        if self.count == 1:
            return value
        values = [value]
        with self._collective():
            distributed.broadcast_object_list(values, src=0, group=self.control_group)
        return values[0]

    def first_does(self, work: Callable[[], T]) -> T:
        """What the first rank gets from ``work``, which the others leave to it."""
        return self.broadcast(work() if self.is_first else None)  # type: ignore[return-value]

    def any(self, flag: bool) -> bool:
        """Whether it is so for one of them."""
        return any(self.gather(flag))

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in their order."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        with self._collective():
            distributed.all_gather_object(values, value, group=self.control_group)
        return values

    def wait(self) -> None:
        """Until all are here."""
        self.gather(None)

    def all_reduce(self, tensors: Sequence[torch.Tensor]) -> None:
        """Each tensor becomes the sum over the ranks, in one message."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._collective():
            distributed.all_reduce(flat)
        _unflatten_into(flat, tensors)

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Each tensor becomes that of the first rank."""
        floats = [tensor for tensor in tensors if tensor.is_floating_point()]
        if self.count == 1 or not floats:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in floats])
        with self._collective():
            distributed.broadcast(flat, src=0)
        _unflatten_into(flat, floats)

    @contextmanager
    def _collective(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            failure = f" It said: {self.store.get(FAILURE).decode()}" if self._has_failure() else ""
            raise RankLostError(
                f"Another of the {self.count} processes that train together has ended, so all of them end.{failure} "
                "The last checkpoint is kept: go on with --resume, with as many devices as you like."
            ) from error

    def _has_failure(self) -> bool:
        try:
            return bool(self.store.check([FAILURE]))
        except RuntimeError:  # the machine that kept them is gone too
            return False


ALONE = Ranks()


class Bystander:
    """Stands for the owner of the job (``job.JobOwner``) in all ranks but the first."""

    lost = False

    def update(self, **changes: Any) -> None:
        """The first one tells."""


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process among those that torchrun, or whoever sets its variables, has started; ``ALONE`` without them.

    Raises RankLostError where the others cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    ranks = _init_process_group()
    try:
        yield ranks
    except RankLostError:
        raise
    except MedSegError as error:
        ranks.store.set(FAILURE, f"process {ranks.rank + 1}: {error}")
        raise
    finally:
        distributed.destroy_process_group()


def device_of(device: torch.device, ranks: Ranks) -> torch.device:
    """The GPU of this rank where the device is a GPU; raises TrainingError where there are not enough.

    On a CPU the cores of the machine are divided among its ranks.
    """
    if ranks.count == 1:
        return device
    if device.type != "cuda":
        torch.set_num_threads(max(1, usable_cores() // ranks.neighbours))
        return device
    if ranks.neighbours > torch.cuda.device_count():
        raise TrainingError(
            f"{ranks.neighbours} processes were started on a machine with {torch.cuda.device_count()} GPUs. Start as "
            "many as there are GPUs (--devices, or --nproc-per-node of torchrun)."
        )
    torch.cuda.set_device(ranks.local)
    return torch.device("cuda", ranks.local)


def _init_process_group() -> Ranks:
    nccl = torch.cuda.is_available() and distributed.is_nccl_available()
    try:
        store, rank, count = next(rendezvous("env://", timeout=PATIENCE))
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if nccl else "gloo", store=store, rank=rank, world_size=count, timeout=PATIENCE
        )
        control_group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError, OSError) as error:
        raise RankLostError(f"The processes that train together cannot reach one another: {error}") from None
    local, neighbours = (int(os.environ.get(name, default)) for name, default in _PLACE)
    return Ranks(rank=rank, count=count, local=local, neighbours=neighbours, store=store, control_group=control_group)


_PLACE = (("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))


def _unflatten_into(flat: torch.Tensor, tensors: Sequence[torch.Tensor]) -> None:
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))
