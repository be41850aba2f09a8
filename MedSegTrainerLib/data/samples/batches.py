"""Augmented batches of an epoch; each follows from the seed, the epoch and its place in it alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.samples.augment import apply_augmentation, draw_augmentation, source_size
from MedSegTrainerLib.data.samples.cache import StoredCase
from MedSegTrainerLib.data.samples.mixup_cutmix import Batch, mix
from MedSegTrainerLib.data.samples.patches import cut_batch, draw_patch, epoch_order, rarity_weights
from MedSegTrainerLib.hardware.distributed import ALONE, Ranks


def epoch_batches(
    cases: Sequence[StoredCase],
    plan: Plan,
    config: DataConfig,
    device: torch.device,
    epoch: int,
    ranks: Ranks = ALONE,
) -> Iterator[Batch]:
    """Batches of the planned size on the device, without end; after the last case the first one comes again.

    Each of several ranks gets its share of every batch: together they are the batches that one alone gets.
    """
    z, y, x = np.max([case.geometry.size_zyx for case in cases], axis=0).tolist()
    strength = config.augmentation_strength
    size = source_size(plan, (z, y, x), strength) if config.augmentation else plan.patch_size
    weights = rarity_weights(cases) if config.case_sampling == "weighted" else None
    order = epoch_order(
        config.seed, epoch, len(cases), plan.samples_per_volume, shuffle=config.shuffle, weights=weights
    )
    mixes = config.mixup > 0 or config.cutmix > 0  # patches with one another: then every rank makes all of them
    own = ranks.share(plan.batch_size)
    cut = slice(0, plan.batch_size) if mixes else own
    count = 0
    while True:
        generator = np.random.default_rng((config.seed, 2, epoch, count))
        chosen = [int(order[(count * plan.batch_size + i) % len(order)]) for i in range(plan.batch_size)]
        draws = [draw_patch(generator, i, cases[i], plan.patch_size, plan.oversampling(config)) for i in chosen]
        images, labels = cut_batch(cases, draws[cut], size, device, plan.neighbour_slices, pin_memory=config.pin_memory)
        if config.augmentation:
            draw = draw_augmentation(generator, plan.batch_size, plan, strength)
            images, labels = apply_augmentation(images, labels, draw.of(cut), plan)
        count += 1
        mixed = mix(generator, images, labels, mixup=config.mixup, cutmix=config.cutmix)
        yield _part(mixed, own) if mixes else mixed


def _part(batch: Batch, own: slice) -> Batch:
    if len(batch) == 4:
        images, labels, second, share = batch
        return images[own], labels[own], second[own], share
    return batch[0][own], batch[1][own]
