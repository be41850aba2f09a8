"""The device a job works on, the arithmetic it does there, and how many GPUs and processor cores it may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from MedSegTrainerLib.config.settings import Auto
from MedSegTrainerLib.errors import UsageError


def choose_device(name: str) -> tuple[torch.device, str | None]:
    """The device for ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``, and a warning where it is not what was asked.

    A GPU that is not there is replaced by the CPU, with a warning. Raises UsageError for other names.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps() else "cpu"), None
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"'{name}' is no device. Use auto, cpu, cuda, cuda:0, cuda:1, ... or mps.") from None
    if device.type == "cpu":
        return device, None
    if device.type == "cuda":
        if torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count():
            return device, None
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        cause = f"PyTorch sees {count} CUDA devices"
    elif device.type == "mps":
        if has_mps():
            return device, None
        cause = "PyTorch sees no Apple GPU"
    else:
        raise UsageError(f"'{name}' is no device this program knows. Use auto, cpu, cuda, cuda:1 or mps.")
    return torch.device("cpu"), f"Device '{name}' was asked for, but {cause}: the CPU is used instead, which is slower."


def has_mps() -> bool:
    return torch.backends.mps.is_available()


def describe(device: torch.device) -> str:
    """The device as a text, e.g. ``CPU with 8 threads`` or ``NVIDIA H200 (140 GB)``."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name} ({properties.total_memory / 1e9:.0f} GB)"
    threads = torch.get_num_threads()
    return "Apple GPU" if device.type == "mps" else f"CPU with {threads} thread{'' if threads == 1 else 's'}"


def memory_bytes(device: torch.device) -> int | None:
    """Total memory of a CUDA device; None where the device shares the main memory."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what it was given; for timing only."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def same_shapes(device: torch.device) -> Iterator[None]:
    """For work whose shapes come again and again: a GPU tries its convolutions once for each and keeps the fastest."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device. A GPU goes on with what it is doing, and nobody waits for it.

    From ordinary memory a copy would wait; from page-locked memory it need not, and PyTorch keeps that memory until
    the copy is done.
    """
    if tensor.device.type != "cpu" or device.type in ("cpu", "mps"):  # an Apple GPU would read what is freed by then
        return tensor.to(device)
    return _pinned(tensor.contiguous(), device).to(device, non_blocking=True)


def tensors_to_device(tensors: Sequence[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
    """Small float32 tensors on the device, in one message: each takes as long as thousands of numbers."""
    if device.type == "cpu":
        return list(tensors)
    moved = to_device(torch.cat([tensor.reshape(-1) for tensor in tensors]), device)
    parts = moved.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def stacked_on_device(parts: Sequence[torch.Tensor], device: torch.device, *, pin: bool = True) -> torch.Tensor:
    """``torch.stack`` on the device; ``pin``: parts in main memory meet in page-locked memory on their way to a GPU."""
    first = parts[0]
    if not (pin and first.device.type == "cpu" and device.type == "cuda"):
        return to_device(torch.stack(list(parts)), device) if pin else torch.stack(list(parts)).to(device)
    whole = torch.empty((len(parts), *first.shape), dtype=first.dtype, pin_memory=True)
    return torch.stack(list(parts), out=whole).to(device, non_blocking=True)


def _pinned(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.pin_memory() if device.type == "cuda" else tensor


class Precision:
    """Mixed precision: bfloat16 where the device has it, else float16 with loss scaling, else none."""

    def __init__(self, device: torch.device, mixed: bool) -> None:
        self.device_type = device.type
        has_bfloat16 = device.type == "cpu" or (device.type == "cuda" and torch.cuda.is_bf16_supported())
        self.enabled = mixed and device.type in ("cpu", "cuda")
        self.dtype = torch.bfloat16 if has_bfloat16 else torch.float16
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.enabled and device.type == "cuda" and not has_bfloat16)

    def forward(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device_type, dtype=self.dtype) if self.enabled else nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        self.scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Moves the weights; gradients must have been unscaled by ``unscale``."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        self.scaler.unscale_(optimizer)


def several_gpus(
    device: torch.device, count: int | Auto, *, visible: int | None = None
) -> tuple[list[torch.device], str | None]:
    """As many GPUs as asked for, and a warning where there are fewer; where it is no GPU, or one by its number: that.

    ``"auto"``: all. visible: how many there are, by default what PyTorch sees.
    """
    if device.type != "cuda" or device.index is not None:
        return [device], None
    available = torch.cuda.device_count() if visible is None else visible
    number = available if count == "auto" else min(count, available)
    warning = None
    if count != "auto" and count > available:
        warning = f"{count} devices were asked for, and PyTorch sees {available}: these are used."
    return ([device] if number < 2 else [torch.device("cuda", index) for index in range(number)]), warning


def devices_of_models(device: torch.device, count: int | Auto, models: int) -> tuple[list[torch.device], str | None]:
    """The devices that so many models are spread over, the first one first, and a warning where these are fewer than
    asked for."""
    devices, warning = several_gpus(device, count)
    if device.type != "cuda" and count not in (1, "auto"):
        warning = f"{count} devices were asked for, but models are spread over GPUs only: here they take turns."
    return devices[:models], warning


CHOSEN_BY_OTHERS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # environment variables: a person, or a scheduler


def use_cores() -> None:
    """As many threads in PyTorch as there are cores for this process, unless somebody has said how many.

    PyTorch itself counts physical cores and looks at which of them the process is bound to: two threads on the same
    core only wait for one another. What it does not see is a limit in time, as containers have it: with 64 threads in
    the time of 2 cores most of them stand still at any moment, and the others wait for them.
    """
    if not any(name in os.environ for name in CHOSEN_BY_OTHERS):
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process is bound to or, where its control group gives it less time, as many as that is worth.

    root: of the file system, where Linux tells it.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(root)
    return allowed if math.isinf(quota) else max(1, min(allowed, round(quota)))


def _quota(root: Path) -> float:
    """Cores' worth of time that the control groups of this process, and those around them, may use."""
    limits = [math.inf]
    for line in _fields(root / "proc" / "self" / "cgroup", "\n"):
        _, controllers, place = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys" / "fs" / "cgroup" / ("cpu" if controllers else "")
        parts = PurePosixPath(place).parts[1:]
        limits += [_limit(base.joinpath(*parts[:depth])) for depth in range(len(parts) + 1)]
    return min(limits)


def _limit(group: Path) -> float:
    """Microseconds in each period, of version 2 (one file) or 1 (two files) of control groups."""
    quota_and_period = _fields(group / "cpu.max") or [
        *_fields(group / "cpu.cfs_quota_us"),
        *_fields(group / "cpu.cfs_period_us"),
    ]
    if len(quota_and_period) != 2 or quota_and_period[0] in ("max", "-1"):
        return math.inf
    return int(quota_and_period[0]) / int(quota_and_period[1])


def _fields(path: Path, separator: str | None = None) -> list[str]:
    """Of a file; none where it is not there or may not be read."""
    try:
        return path.read_text(encoding="utf-8").strip().split(separator)
    except (OSError, UnicodeDecodeError):
        return []
