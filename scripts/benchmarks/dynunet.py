"""MONAI's DynUNet recipe for a given time, in a process of its own: ``python -m benchmarks.dynunet TASK.json``.

Written anew after the published pipeline (github.com/Project-MONAI/tutorials, modules/dynunet_pipeline), for a CPU or
one GPU, in fp32 as its commands have it. Network, loss, optimizer, patches, augmentation and windows are the
pipeline's. What it leaves to its user is chosen in its favour: the polynomial decay (its flag ``lr_decay``) runs over
exactly the training that fits into the time, a tenth of which validation may take. Needs the extra ``bench``.
"""

from __future__ import annotations

import time

STARTED = time.time()  # loading the libraries is part of the time, as it is of a training job of ours

import json  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import nibabel  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from monai import transforms  # noqa: E402
from monai.data import CacheDataset, DataLoader, decollate_batch  # noqa: E402
from monai.inferers import SlidingWindowInferer  # noqa: E402
from monai.losses import DiceCELoss  # noqa: E402
from monai.metrics import DiceMetric  # noqa: E402
from monai.networks.nets import DynUNet  # noqa: E402
from monai.utils import set_determinism  # noqa: E402

VALIDATIONS = 10  # at most; fewer where they would take more than VALIDATION_SHARE of the time
VALIDATION_SHARE = 0.1
MOST_FEATURES = 320  # DynUNet's own, in 3D
BOTH = ("image", "label")
CURVE, PREDICTIONS, OUTCOME = "curve.jsonl", "predictions", "outcome.json"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the pipeline sets for each data set. Sizes are (x, y, z), spacings in mm.

    samples: patches of a volume in a batch. positive: of ``positive`` + 1 patches so many lie on a structure.
    heads: resolutions below the full one that are judged. resample: whether the volumes have another spacing. width:
    feature maps at full resolution, by default DynUNet's own.
    """

    patch: tuple[int, int, int]
    spacing: tuple[float, float, float]
    batch: int
    samples: int
    positive: int
    heads: int
    resample: bool
    width: int = 32


@dataclass(frozen=True, kw_only=True)
class Task:
    """train and val: cases as dicts of ``name``, ``image`` (files, one a channel) and ``label``. classes: names of the
    labels 1, 2, ... ``folder`` gets the curve, the outcome and the best model's label maps of ``val``."""

    recipe: Recipe
    minutes: float
    rate: float
    train: list[dict[str, Any]]
    val: list[dict[str, Any]]
    classes: list[str]
    folder: str
    device: str = "cpu"
    threads: int | None = None
    seed: int = 0


@dataclass(kw_only=True)
class Training:
    """What a training works with; ``best`` is the best mean Dice so far, ``predictions`` its label maps by case."""

    task: Task
    batches: Any
    held_out: Any
    inverse: Any
    network: Any
    optimizer: torch.optim.Optimizer
    loss: Any
    steps: int = 0
    epochs: int = 0
    best: float = -1.0
    predictions: dict[str, np.ndarray] | None = None
    step_seconds: float = 0.0
    validation_seconds: float = 0.0


def main() -> None:
    values: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    recipe: dict[str, Any] = values.pop("recipe")
    sizes: dict[str, Any] = {name: tuple(recipe.pop(name)) for name in ("patch", "spacing")}
    run(Task(recipe=Recipe(**sizes, **recipe), **values))


def run(task: Task) -> None:
    """Trains until the time is over and writes the label maps; at least one step and one validation are done."""
    if task.threads:
        torch.set_num_threads(task.threads)
    set_determinism(seed=task.seed)
    training = prepare(task)
    _fit(training)
    _write(training)


def prepare(task: Task) -> Training:
    device, recipe = torch.device(task.device), task.recipe
    labelled = transforms.Compose([*_preprocessing(recipe, BOTH), *_augmentation(recipe)])
    cached = CacheDataset(task.train, labelled, num_workers=4, progress=False)
    unlabelled = transforms.Compose(_preprocessing(recipe, ("image",)))
    loaded = [load_imaged("label"), transforms.EnsureChannelFirstd("label")]
    held_out = CacheDataset(task.val, transforms.Compose([unlabelled, *loaded]), num_workers=4, progress=False)
    network = build_network(recipe, len(task.train[0]["image"]), len(task.classes) + 1).to(device)
    return Training(
        task=task,
        batches=DataLoader(cached, batch_size=min(recipe.batch, len(task.train)), shuffle=True, drop_last=True),
        held_out=DataLoader(held_out, batch_size=1),
        inverse=transforms.Invertd("pred", transform=unlabelled, orig_keys="image", nearest_interp=False),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=task.rate, momentum=0.99, weight_decay=3e-5, nesterov=True),
        loss=DiceCELoss(to_onehot_y=True, softmax=True),
    )


def build_network(recipe: Recipe, channels: int, classes: int) -> Any:
    kernels, strides = levels(recipe.patch, recipe.spacing)
    return DynUNet(
        spatial_dims=3,
        in_channels=channels,
        out_channels=classes,
        kernel_size=kernels,
        strides=strides,
        upsample_kernel_size=strides[1:],
        norm_name="instance",
        deep_supervision=True,
        filters=[min(recipe.width * 2**level, MOST_FEATURES) for level in range(len(strides))],
        deep_supr_num=min(recipe.heads, len(strides) - 2),
    )


def levels(patch: Sequence[int], spacing: Sequence[float]) -> tuple[list[list[int]], list[list[int]]]:
    """Kernels and strides by nnU-Net's rule, as the pipeline has it: an axis is halved while its voxels are at most
    twice as long as the shortest and eight of them are left, and gets a kernel of 1 while they are longer."""
    sizes, lengths = list(patch), list(spacing)
    kernels: list[list[int]] = []
    strides = [[1] * len(sizes)]
    while True:
        fine = [length <= 2 * min(lengths) for length in lengths]
        stride = [2 if near and size >= 8 else 1 for near, size in zip(fine, sizes, strict=True)]
        if max(stride) == 1:
            return [*kernels, [3] * len(sizes)], strides
        kernels.append([3 if near else 1 for near in fine])
        strides.append(stride)
        sizes = [size // by for size, by in zip(sizes, stride, strict=True)]
        lengths = [length * by for length, by in zip(lengths, stride, strict=True)]


def load_imaged(keys: str | Sequence[str]) -> transforms.LoadImaged:
    """MONAI's reader. It tries all that it has, and where pydicom is there one warns that nvImageCodec is not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")
        return transforms.LoadImaged(keys)


def _preprocessing(recipe: Recipe, keys: Sequence[str]) -> list[Any]:
    modes = ["bilinear", "nearest"][: len(keys)]
    resample = [transforms.Spacingd(keys, pixdim=recipe.spacing, mode=modes)] if recipe.resample else []
    return [
        load_imaged(keys),
        transforms.EnsureChannelFirstd(keys),
        transforms.Orientationd(keys, axcodes="RAS", labels=None),
        transforms.CropForegroundd(keys, source_key="image", allow_smaller=True),
        *resample,
        transforms.NormalizeIntensityd("image", nonzero=True, channel_wise=True),
    ]


def _augmentation(recipe: Recipe) -> list[Any]:
    sigma = (0.5, 1.15)
    return [
        transforms.SpatialPadd(BOTH, spatial_size=recipe.patch),
        transforms.RandCropByPosNegLabeld(
            BOTH,
            label_key="label",
            spatial_size=recipe.patch,
            pos=recipe.positive,
            neg=1,
            num_samples=recipe.samples,
            image_key="image",
            image_threshold=0,
        ),
        transforms.RandZoomd(
            BOTH, prob=0.15, min_zoom=0.9, max_zoom=1.2, mode=("trilinear", "nearest"), align_corners=(True, None)
        ),
        transforms.RandGaussianNoised("image", prob=0.15, std=0.01),
        transforms.RandGaussianSmoothd("image", prob=0.15, sigma_x=sigma, sigma_y=sigma, sigma_z=sigma),
        transforms.RandScaleIntensityd("image", prob=0.15, factors=0.3),
        *(transforms.RandFlipd(BOTH, prob=0.5, spatial_axis=axis) for axis in range(3)),
        transforms.CastToTyped(BOTH, dtype=(np.float32, np.uint8)),
    ]


def _fit(training: Training) -> None:
    began, total = _elapsed(), 60 * training.task.minutes
    due, ended = total / VALIDATIONS, False
    while not ended:
        for batch in training.batches:
            end = total - training.validation_seconds
            rate = decayed(training.task.rate, (_elapsed() - began) / max(1e-9, end - began))
            loss = step(training, batch, rate)
            ended = _elapsed() + training.step_seconds >= end
            if ended or _elapsed() >= due:
                validate(training, rate, loss)
                due = _elapsed() + max(total / VALIDATIONS, training.validation_seconds * (1 / VALIDATION_SHARE - 1))
            if ended:
                break
        training.epochs += not ended


def decayed(rate: float, share: float) -> float:
    """Polynomial decay with the power 0.9, ``share`` of the training being done."""
    return rate * (1 - min(max(share, 0.0), 1.0)) ** 0.9


def step(training: Training, batch: dict[str, Any], rate: float) -> float:
    """One step; a resolution counts half as much as the next finer one. Returns the loss."""
    started, device = _elapsed(), training.task.device
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.network.train()
    training.optimizer.zero_grad()
    labels = batch["label"].to(device)
    outputs = torch.unbind(training.network(batch["image"].to(device)), dim=1)
    loss = torch.stack([0.5**i * training.loss(output, labels) for i, output in enumerate(outputs)]).sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(training.network.parameters(), 12)
    training.optimizer.step()
    value = float(loss.detach())
    training.steps += 1
    training.step_seconds = _elapsed() - started
    return value


@torch.no_grad()
def validate(training: Training, rate: float, loss: float) -> float:
    """Segments the held-out cases on their own grids, adds a point to the curve, and keeps what is best.

    Returns the mean over the classes of the mean Dice.
    """
    started, task = _elapsed(), training.task
    count = len(task.classes) + 1
    inferer = SlidingWindowInferer(roi_size=task.recipe.patch, sw_batch_size=4, overlap=0.5, mode="gaussian")
    metric = DiceMetric(include_background=False, reduction="mean_batch")
    one_hot = transforms.AsDiscrete(to_onehot=count)
    predictions: dict[str, np.ndarray] = {}
    training.network.eval()
    for batch in training.held_out:
        batch["pred"] = inferer(batch["image"].to(task.device), training.network).softmax(dim=1).cpu()
        for item in decollate_batch(batch):
            labels = training.inverse(item)["pred"].argmax(dim=0, keepdim=True)
            metric(y_pred=one_hot(labels)[None], y=one_hot(item["label"])[None])
            predictions[item["name"]] = np.asarray(labels[0], dtype=np.uint8)
    dice = [None if torch.isnan(value) else float(value) for value in metric.aggregate()]  # a class no case has
    defined = [value for value in dice if value is not None]
    mean = sum(defined) / max(1, len(defined))
    if mean > training.best:
        training.best, training.predictions = mean, predictions
    training.validation_seconds = _elapsed() - started
    point = {
        "minutes": _elapsed() / 60,
        "mean_dice": mean,
        "dice": dict(zip(task.classes, dice, strict=True)),
        "step": training.steps,
        "learning_rate": rate,
        "train_loss": loss,
    }
    with (Path(task.folder) / CURVE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(point) + "\n")
    return mean


def _write(training: Training) -> None:
    task, folder = training.task, Path(training.task.folder)
    (folder / PREDICTIONS).mkdir(exist_ok=True)
    for case in task.val:
        label = nibabel.load(case["label"])
        image = nibabel.Nifti1Image((training.predictions or {})[case["name"]], label.affine, label.header)
        image.set_data_dtype(np.uint8)
        nibabel.save(image, folder / PREDICTIONS / f"{case['name']}.nii.gz")
    outcome = {
        "minutes": _elapsed() / 60,
        "steps": training.steps,
        "epochs": training.epochs,
        "step_seconds": training.step_seconds,
        "validation_seconds": training.validation_seconds,
        "threads": torch.get_num_threads(),
        "weights": sum(weights.numel() for weights in training.network.parameters()),
    }
    partial = folder / f"{OUTCOME}.part"
    partial.write_text(json.dumps(outcome), encoding="utf-8")
    partial.replace(folder / OUTCOME)


def _elapsed() -> float:
    return time.time() - STARTED


if __name__ == "__main__":
    main()
