"""One real step of training on a device: does everything that training needs work in this Python, on this machine?"""

from __future__ import annotations

import importlib
import importlib.metadata
import math
import platform
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from MedSegTrainerLib import __version__
from MedSegTrainerLib.errors import MedSegError

if TYPE_CHECKING:  # torch takes seconds, and may be what is missing
    import torch

    from MedSegTrainerLib.config.plan import Plan

# what the library imports, by the names of import; each is loaded, because a package can be there and be broken
PACKAGES = (
    "torch", "monai", "einops", "numpy", "scipy", "SimpleITK", "pydicom", "highdicom", "PIL", "safetensors",
    "pydantic", "typer", "rich", "jinja2", "matplotlib", "tensorboard",
)  # fmt: skip
MATRIX = 256
LARGEST_ERROR = 0.03  # relative, of a product in bfloat16, which has 8 bits
MOST_STEPS = 4  # float16 leaves out the first steps, until it has found the scale of its gradients

# what CUDA says, and what that means for somebody who wants to train; {name} is the GPU
GPU_MESSAGES = (
    ("driver on your system is too old", "The NVIDIA driver is too old for PyTorch {torch}, which was made for CUDA "
     "{cuda}. Install the newest driver from NVIDIA, restart the computer, and test again."),
    ("driver version is insufficient", "The NVIDIA driver is too old for PyTorch {torch}, which was made for CUDA "
     "{cuda}. Install the newest driver from NVIDIA, restart the computer, and test again."),
    ("no kernel image", "PyTorch {torch} holds no code for {name}: the GPU is older, or newer, than this PyTorch "
     "knows. Use the CPU, or a Python with a PyTorch that was made for this GPU."),
    ("out of memory", "The memory of {name} is used up by other programs. Close them and test again."),
    ("no nvidia driver", "No NVIDIA GPU was found, or its driver is not installed."),
    ("exclusive", "{name} is reserved by another program. Close it and test again."),
    ("cudnn", "The cuDNN library of this PyTorch does not work on {name}. Set the environment up anew, and update "
     "the NVIDIA driver if that does not help."),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """What was tried and seen. ``device``: where the step ran, '' where none did. ``warnings``: a fall to the CPU.

    devices: {'name', 'description', 'memory_bytes'} of all that can be chosen.
    """

    ok: bool
    message: str
    asked: str
    device: str = ""
    device_name: str = ""
    precision: str = ""
    loss: float | None = None
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    devices: list[dict[str, Any]] = field(default_factory=list)
    python: str = platform.python_version()
    library: str = __version__
    torch: str = ""
    monai: str = ""
    cuda: str | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The devices PyTorch sees, the CPU last; ``why_no_gpu`` is '' where it sees one."""

    devices: list[dict[str, Any]]
    why_no_gpu: str


Step = Callable[["torch.device"], tuple[float, str]]


def run_self_test(asked: str = "auto", machine: Machine | None = None, step: Step | None = None) -> SelfTest:
    """Tries ``asked`` (auto, cpu, cuda:0, ...); with auto the CPU too where the GPU does not work.

    machine, step: what is there and what is tried, for tests. Raises UsageError where ``asked`` is no device.
    """
    started = time.perf_counter()
    broken = broken_packages()
    if broken:
        return SelfTest(ok=False, message=" ".join(broken), asked=asked)
    import torch

    from MedSegTrainerLib.hardware.device import choose_device, describe

    machine = machine or see_machine()
    device, fall = choose_device(asked)
    notes = [fall] if fall else []
    if device.type == "cpu" and asked == "auto" and machine.why_no_gpu:
        notes.append(f"{machine.why_no_gpu} Training runs on the CPU, which is much slower.")
    facts: dict[str, Any] = {
        "asked": asked,
        "devices": machine.devices,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "monai": importlib.metadata.version("monai"),
    }
    tries = [device] if device.type == "cpu" or asked != "auto" else [device, torch.device("cpu")]
    problem = ""
    for place in tries:
        try:
            loss, precision = (step or train_one_step)(place)
        except (MedSegError, RuntimeError, MemoryError, OSError) as error:
            problem = device_text(error, place)
            notes += [f"{problem} Training runs on the CPU instead, which is much slower."] if len(tries) > 1 else []
            continue
        name, seconds = describe(place), time.perf_counter() - started
        message = f"PyTorch {torch.__version__} trains on {name} in {precision}."
        return SelfTest(
            ok=True,
            message=message,
            device=str(place),
            device_name=name,
            precision=precision,
            loss=loss,
            seconds=round(seconds, 2),
            warnings=notes,
            **facts,
        )
    return SelfTest(ok=False, message=problem, seconds=round(time.perf_counter() - started, 2), **facts)


def broken_packages() -> list[str]:
    """A sentence for the packages that are missing, and one for each that cannot be loaded."""
    missing, problems = [], []
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing.append(error.name or name)
        except Exception as error:  # a damaged package may fail in any way while it is loaded
            hint = " On Windows this often means that the Microsoft Visual C++ Redistributable is not installed."
            dll = "WinError" in str(error) or "DLL load failed" in str(error)
            problems.append(f"The package {name} cannot be loaded: {error}.{hint if dll else ''}")
    if missing:
        problems.insert(0, f"This Python lacks {', '.join(dict.fromkeys(missing))}.")
    return problems


def see_machine() -> Machine:
    """The devices that PyTorch sees, and the reason why none is a GPU."""
    import torch

    from MedSegTrainerLib.hardware.device import describe, has_mps, memory_bytes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old driver is a warning here; _why_no_gpu gives it as a reason
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = [torch.device("cuda", index) for index in range(count)]
    gpus += [torch.device("mps")] if has_mps() else []
    reason = "" if gpus else _why_no_gpu()
    devices = [
        {"name": str(device), "description": describe(device), "memory_bytes": memory_bytes(device)}
        for device in (*gpus, torch.device("cpu"))
    ]
    return Machine(devices=devices, why_no_gpu=reason)


def _why_no_gpu() -> str:
    import torch

    driver = shutil.which("nvidia-smi") is not None
    if not torch.backends.cuda.is_built():
        if driver:
            return f"There is an NVIDIA driver, but PyTorch {torch.__version__} is a build without CUDA."
        return "No GPU that PyTorch can use was found."
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return device_text(error, torch.device("cuda"))
    return "PyTorch sees no GPU, although there is an NVIDIA driver."


def device_text(error: BaseException, device: torch.device) -> str:
    """What a device said, as a sentence that tells what to do."""
    import torch

    message = str(error)
    name = f"the {device.type.upper()} device"
    if device.type == "cuda":
        try:
            name = torch.cuda.get_device_name(device)
        except (RuntimeError, AssertionError):  # what is broken may not even tell its name
            name = "the GPU"
        for sign, text in GPU_MESSAGES:
            if sign in message.lower():
                return text.format(name=name, torch=torch.__version__, cuda=torch.version.cuda)
    if isinstance(error, MedSegError):
        return message
    first = next(iter(message.strip().splitlines()), type(error).__name__)
    return f"Training does not work on {name}: {first}"


def train_one_step(device: torch.device) -> tuple[float, str]:
    """Loss and precision of a small network that learned once; raises MedSegError where the numbers are wrong.

    The network, loss, optimizer and arithmetic are those of a training; and a product of matrices is compared with
    the one that the CPU finds in 64 bits.
    """
    import torch

    from MedSegTrainerLib.training.learner import Learner

    random = torch.Generator().manual_seed(0)
    learner = Learner(*_small_plan(device.type), device)
    precision = "32 bit" if not learner.precision.enabled else str(learner.precision.dtype).removeprefix("torch.")
    left, right = (torch.randn(MATRIX, MATRIX, generator=random) for _ in range(2))
    with torch.no_grad(), learner.precision.forward():
        product = (left.to(device) @ right.to(device)).double().cpu()
    exact = left.double() @ right.double()
    error = float((product - exact).norm() / exact.norm())
    if not error < LARGEST_ERROR:  # also where it is not a number
        raise MedSegError(f"{device} multiplies matrices wrongly in {precision} (relative error {error:.2g}).")
    images = torch.randn(2, 1, 16, 16, 16, generator=random).to(device)
    labels = (images[:, 0] > 0.5).long()
    before = [weight.detach().clone() for weight in learner.network.parameters()]
    for _ in range(MOST_STEPS):
        loss = float(learner.step([(images, labels)], 1, 1e-3)[0])
        if not math.isfinite(loss) or not learner.is_finite():
            raise MedSegError(f"The loss of a training step on {device} is not a number ({precision}).")
        after = learner.network.parameters()
        if any(not torch.equal(old, new) for old, new in zip(before, after, strict=True)):
            return loss, precision
    raise MedSegError(f"Training on {device} does not change the network ({precision}).")


def _small_plan(device_type: str) -> tuple[Plan, Any]:
    from MedSegTrainerLib.classes import LabelClass
    from MedSegTrainerLib.config.plan import Normalization, Plan
    from MedSegTrainerLib.config.settings import LossConfig, TrainConfig

    network = {
        "dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "features": [8, 16],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "kernels": [[3, 3, 3], [3, 3, 3]],
        "blocks": [1, 1],
        "deep_supervision": False,
    }
    plan = Plan(
        dims=3, spacing=(1.0, 1.0, 1.0), image_size=None, patch_size=(16, 16, 16), divisor=(2, 2, 2), batch_size=2,
        samples_per_volume=1, normalization=(Normalization(method="zscore"),), channel_names=("image",),
        classes=(LabelClass(value=1, name="bright", color=(255, 255, 255)),), ignore_label=None, flip_axes=(),
        architecture="PlannedUNet", network=network, loss=LossConfig(loss_type="combined"), optimizer_type="AdamW",
        learning_rate=1e-3, weight_decay=1e-4, lr_schedule="constant", warmup_epochs=0.0, gradient_clip=12.0,
        ema_decay=None, mixed_precision=device_type != "mps", channels_last=device_type == "cuda", steps_per_epoch=1,
        epochs=1, validation_interval=1, cache="memory", reasons={},
    )  # fmt: skip
    return plan, TrainConfig()
