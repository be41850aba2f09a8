"""The training guide's selection tables as data, and each choice with the row it comes from.

A network that is chosen by name gets what the guide says, as it stands. The planned U-Net has settings of its own,
measured to be better where training is short, and nnU-Net's networks take them too; the reasons name the row that
they depart from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MedSegTrainerLib.config.architectures import ARCHITECTURES, PLANNED, Family, is_planned

FAMILY_NAMES = {
    "unet": "U-Net, V-Net, SegResNet",
    "deeplab": "DeepLabV3+",
    "transformer": "TransUNet, UNETR, Swin-UNETR",
}
HALVES = {"dice_weight": 0.5, "ce_weight": 0.5}

# "Loss Function Selection Guide"; of 'Dice or ...' the one that the rest of the guide prefers
LOSS_ROWS: dict[str, dict[str, Any]] = {
    "balanced classes": {"loss_type": "cross_entropy"},
    "moderate imbalance (<10:1)": {"loss_type": "combined", **HALVES},
    "severe imbalance (>100:1)": {"loss_type": "combined", "dice_weight": 0.5, "focal_weight": 0.5},
    "small objects": {"loss_type": "dice"},
    "complex boundaries": {"loss_type": "combined", "dice_weight": 0.4, "ce_weight": 0.4, "boundary_weight": 0.2},
    "general medical imaging": {"loss_type": "combined", **HALVES},
}
BALANCED, MODERATE, SEVERE = 2.0, 10.0, 100.0  # largest class to smallest; the guide gives no number for the first
SMALL_OBJECT = {2: 64, 3: 200}  # pixels or voxels; the guide gives none

# "Optimizer Selection Guide", "Architecture-Specific Settings"
OPTIMIZER_ROWS = {"unet": ("Adam", 1e-4), "deeplab": ("SGD", 1e-2), "transformer": ("AdamW", 1e-4)}
LARGE_DATASET = 500  # cases; more: "SGD or AdamW"
TYPICAL_RATE = {"Adam": 1e-4, "AdamW": 1e-4, "SGD": 1e-2}  # "Learning Rate", for an optimizer set by hand
WEIGHT_DECAY = {"Adam": (1e-5, 1e-4), "AdamW": (1e-4, 1e-3), "SGD": (1e-4, 1e-3)}  # "Weight Decay"
SMALL_DATASET = 50  # cases, as in "Guidelines by Dataset Size"
LARGE_MODEL = 5e7  # parameters; the guide's own U-Net (base_channels 64) has 3e7

# "Guidelines by Dataset Size": fewer cases than so many, epochs; "Architecture-Specific Settings" and, for DeepLabV3+,
# which they leave out, the guide's network table
EPOCHS_BY_SIZE = ((50, (200, 500)), (201, (100, 200)), (float("inf"), (50, 150)))
EPOCHS_BY_FAMILY = {"unet": (100, 200), "deeplab": (100, 150), "transformer": (150, 300)}
CLIP = {"unet": 5.0, "deeplab": 5.0, "transformer": 1.0}  # "Gradient Clipping"
SCHEDULE = {"unet": "constant", "deeplab": "polynomial", "transformer": "cosine"}  # the last: example configuration 2
BATCH = {2: (4, 16), 3: (1, 4)}  # "Batch Size" by dims
BATCH_TRANSFORMER = (2, 4)
WARMUP_SHARE = {"unet": 0.0, "deeplab": 0.0, "transformer": 1 / 15}  # of the epochs: 10-20 of 150-300
MOST_WARMUP = {"unet": 0.0, "deeplab": 0.0, "transformer": 20.0}

# Rows of the loss table that the planned U-Net does not follow
PLANNED_LOSS_WHY = {
    "small objects": "cross-entropy steadies the Dice term",
    "balanced classes": "the Dice term does no harm there",
}
# The planned U-Net: a training of minutes needs a high rate, and an average of the weights or a fall to settle them
PLANNED_RATE = {"Adam": 2e-3, "AdamW": 2e-3, "SGD": 1e-2}
PLANNED_DECAY = {"Adam": 1e-5, "AdamW": 1e-2, "SGD": 1e-4}
PLANNED_CLIP = 12.0
PLANNED_WARMUP_SHARE, PLANNED_MOST_WARMUP = 0.05, 10.0
AVERAGE_DECAY = 0.999


def family_of(architecture: str) -> Family:
    """``unet``, ``deeplab`` or ``transformer``: the row of the guide's tables by model type."""
    return ARCHITECTURES[architecture].family


def loss_row(shares: Sequence[float], smallest_voxels: float, dims: int) -> tuple[str, str]:
    """The row of the loss table that fits the data, and why.

    shares: of the voxels, background first; a class without any does not count. smallest_voxels: median size of
    the smallest class in a case. Complex boundaries cannot be seen from that; give ``boundary_weight``.
    """
    ratio = max(shares) / min(share for share in shares if share > 0)
    imbalance = f"largest class to smallest {ratio:.3g}:1"
    if ratio > SEVERE:
        return "severe imbalance (>100:1)", imbalance
    if smallest_voxels < SMALL_OBJECT[dims]:
        return "small objects", f"the smallest class has {smallest_voxels:.0f} voxels in a case"
    if ratio < BALANCED:
        return "balanced classes", imbalance
    return ("moderate imbalance (<10:1)" if ratio < MODERATE else "general medical imaging"), imbalance


def choose_loss(
    architecture: str, shares: Sequence[float], smallest_voxels: float, dims: int
) -> tuple[dict[str, Any], str]:
    """Settings of ``LossConfig``.

    The planned U-Net keeps Dice + cross-entropy, but for severe imbalance. There the guide's Dice + focal was better
    for the two rare classes (0.3 % of the voxels) of ``phantom``: Dice 0.78 and 0.57 against 0 after 360 steps, 0.85
    and 0.84 against 0.84 and 0.83 after 810.
    """
    row, imbalance = loss_row(shares, smallest_voxels, dims)
    if not is_planned(architecture) or row not in PLANNED_LOSS_WHY:
        return LOSS_ROWS[row], f"guide, '{row}': {imbalance}"
    general = "general medical imaging"
    return LOSS_ROWS[general], f"guide, '{general}', in spite of '{row}' ({imbalance}): {PLANNED_LOSS_WHY[row]}"


def choose_optimizer(architecture: str, cases: int) -> tuple[str, str]:
    """``optimizer_type`` for a network and the number of cases that train."""
    family = family_of(architecture)
    kind, _ = OPTIMIZER_ROWS[family]
    row = f"'{FAMILY_NAMES[family]}: {kind}'"
    if is_planned(architecture):
        return "AdamW", f"guide, {row}; with decoupled weight decay (AdamW) it generalises better"
    if kind == "Adam" and cases > LARGE_DATASET:
        return "AdamW", f"guide, 'large dataset (>{LARGE_DATASET} cases): SGD or AdamW': {cases} cases"
    return kind, f"guide, {row}"


def choose_rate(architecture: str, kind: str) -> tuple[float, str]:
    """``learning_rate`` for a network and its optimizer."""
    family = family_of(architecture)
    row_kind, row_rate = OPTIMIZER_ROWS[family]
    if is_planned(architecture):
        if kind == "SGD":
            return PLANNED_RATE[kind], "guide, 'SGD: 1e-2 (typical)'"
        return PLANNED_RATE[kind], (
            f"instance norm stands it, and a short training needs it: far better there than "
            f"the guide's row '{FAMILY_NAMES[family]}: {row_rate:g}', which is a constant rate over 100-200 epochs"
        )
    if kind == row_kind:
        return row_rate, f"guide, '{FAMILY_NAMES[family]}: {kind}, {row_rate:g}'"
    return TYPICAL_RATE[kind], f"guide, '{kind}: {TYPICAL_RATE[kind]:g} (typical)'"


def choose_decay(architecture: str, kind: str, cases: int, parameters: int) -> tuple[float, str]:
    """``weight_decay``: the low end of the guide's range, for larger models or smaller data sets the high end.

    Transformers are all large, and their row names the low end.
    """
    low, high = WEIGHT_DECAY[kind]
    span = f"guide, '{kind}: {low:g} to {high:g}'"
    if is_planned(architecture):
        if PLANNED_DECAY[kind] > high:
            network = "this network" if architecture == PLANNED else PLANNED
            return PLANNED_DECAY[kind], f"AdamW's own default, as in all measurements of {network}; {span}"
        return PLANNED_DECAY[kind], span
    if cases < SMALL_DATASET:
        return high, f"{span}, more for smaller data sets: {cases} cases"
    if parameters > LARGE_MODEL and family_of(architecture) != "transformer":
        return high, f"{span}, more for larger models: {parameters / 1e6:.0f} million parameters"
    return low, f"{span}, more only for large models or fewer than {SMALL_DATASET} cases"


def choose_schedule(architecture: str, kind: str, *, averaged: bool = True) -> tuple[str, str]:
    """``lr_schedule`` for a network and its optimizer; ``averaged``: whether the model is an average of the weights.

    In the same minutes on one core, mean Dice of held-out cases with a constant rate and with cosine: hippocampus, 5
    minutes, 0.886 and 0.883; ``phantom``, 3 minutes, 0.878 and 0.875; membranes (2D), 3 minutes, 0.945 and 0.943.
    """
    family = family_of(architecture)
    if is_planned(architecture) and averaged and kind != "SGD":
        return "constant", "averaging the weights settles them as a falling rate would, and the rate keeps its speed"
    if is_planned(architecture):
        return ("polynomial" if kind == "SGD" else "cosine"), "falls to nearly zero at the end of the training"
    if kind == "SGD":
        return "polynomial", "guide, 'DeepLabV3+: polynomial decay'; SGD needs a schedule"
    if SCHEDULE[family] == "cosine":
        return "cosine", "guide, example configuration of Swin-UNETR"
    return "constant", f"guide: none is named for {FAMILY_NAMES[family]} with {kind}"


def choose_clip(architecture: str) -> tuple[float, str]:
    """``gradient_clip``, a limit of the norm."""
    family = family_of(architecture)
    if is_planned(architecture):
        return PLANNED_CLIP, "only what explodes; guide, 'CNN models: 5.0 (if needed)' would hold back a high rate"
    row = "Transformer models: 1.0" if family == "transformer" else "CNN models: 5.0 (if needed)"
    return CLIP[family], f"guide, '{row}'"


def choose_average(architecture: str) -> tuple[float, str]:
    """``ema_decay``, which the guide does not know."""
    return AVERAGE_DECAY, "not in the guide: an average of the last weights segments better than the very last"


def epoch_range(architecture: str, cases: int) -> tuple[tuple[int, int], str]:
    """Fewest and most epochs where the rows by number of cases and by model type agree, and these rows.

    Where they do not, the end of the model's range that is nearest.
    """
    family = family_of(architecture)
    low, high = next(span for most, span in EPOCHS_BY_SIZE if cases < most)
    first, last = EPOCHS_BY_FAMILY[family]
    reason = f"guide, {low}-{high} epochs for {cases} cases, {first}-{last} for {FAMILY_NAMES[family]}"
    return (min(max(low, first), last), max(min(high, last), first)), reason


def choose_epochs(architecture: str, cases: int) -> tuple[int, str]:
    """The middle of the epochs that the guide gives."""
    (low, high), reason = epoch_range(architecture, cases)
    return (low + high) // 2, reason


def choose_warmup(architecture: str, epochs: int) -> tuple[float, str]:
    """``warmup_epochs`` of a training of so many epochs."""
    if is_planned(architecture):
        share, most, origin = (
            PLANNED_WARMUP_SHARE,
            PLANNED_MOST_WARMUP,
            "a twentieth of the training, at most 10 epochs",
        )
    else:
        family = family_of(architecture)
        share, most = WARMUP_SHARE[family], MOST_WARMUP[family]
        origin = (
            "guide, 'TransUNet, UNETR, Swin-UNETR: 10-20 epochs' of 150-300, in proportion"
            if most
            else f"guide: recommended for transformers, not named for {FAMILY_NAMES[family]}"
        )
    return min(most, share * epochs), origin


def choose_batch(architecture: str, dims: int, fitting: int) -> tuple[int, str]:
    """``batch_size``: as many patches as fit on the device, within the guide's limits."""
    low, high = BATCH_TRANSFORMER if family_of(architecture) == "transformer" else BATCH[dims]
    kind = "transformer models" if family_of(architecture) == "transformer" else f"{dims}D"
    return min(max(fitting, low), high), f"guide, '{kind}: {low}-{high}'; about {max(1, fitting)} fit the device"


def wants_mixed_precision(architecture: str, device_type: str) -> bool:
    """Whether the guide recommends 16-bit arithmetic without measuring: transformers, on a GPU."""
    return family_of(architecture) == "transformer" and device_type == "cuda"
