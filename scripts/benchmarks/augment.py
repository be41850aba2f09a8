"""An augmented batch from prepared volumes: ours against MONAI's dictionary transforms with the same ranges."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import (
    Compose,
    FgBgToIndicesd,
    Rand3DElasticd,
    RandAffined,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityFixedMeand,
    RandStdShiftIntensityd,
)

from benchmarks.material import Material
from benchmarks.timing import Comparison, Side
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.samples.augment import (
    AFFINE_PROBABILITY,
    BLUR_PROBABILITY,
    ELASTIC_PROBABILITY,
    NOISE_PROBABILITY,
    apply_augmentation,
    draw_augmentation,
    source_size,
)
from MedSegTrainerLib.data.samples.patches import Triple

BATCHES_A_ROUND = 8  # elastic deformation, blur and noise come to some patches only
BOTH = ["image", "label"]


def comparisons(material: Material) -> Iterator[Comparison]:
    plan = material.plan
    z, y, x = np.max([case.label.shape for case in material.cached], axis=0).tolist()
    size = source_size(plan, (z, y, x))
    generator = np.random.default_rng(0)

    def ours() -> object:
        images, labels = material.batch(size, generator)
        draw = draw_augmentation(generator, plan.batch_size, plan, "standard")
        return apply_augmentation(images, labels, draw, plan)

    loader = _monai_loader(material, size)

    def theirs() -> object:
        return [(batch["image"].to(material.device), batch["label"].to(material.device)) for batch in loader]

    patch = " x ".join(str(n) for n in plan.patch_size)
    yield Comparison(
        name="augment",
        work=f"augmented batch, {plan.batch_size} patches of {patch} from volumes in memory",
        ours=Side(name="MedSegTrainer: drawn first, then applied to the whole batch, one resampling", run=ours),
        theirs=Side(
            name="MONAI DataLoader (no workers) with dictionary transforms, same ranges and probabilities: "
            "RandCropByPosNegLabeld, RandAffined, Rand3DElasticd, RandFlipd, contrast, brightness, blur, noise",
            run=theirs,
        ),
        calls=1 if material.smoke else BATCHES_A_ROUND,
    )


def _monai_loader(material: Material, size: Triple) -> DataLoader:
    indices = FgBgToIndicesd(keys="label")  # kept with the volume, as our locations are
    volumes = [
        indices({"image": MetaTensor(case.image.cpu()), "label": MetaTensor(case.label.cpu()[None])})
        for case in material.cached
    ]
    batch = material.plan.batch_size
    transforms = _transforms(material.plan, size, material.plan.oversampling(material.config.data))
    entries = [volumes[i % len(volumes)] for i in range(batch)]
    return DataLoader(Dataset(entries, transforms), batch_size=batch, num_workers=0)


def _transforms(plan: Plan, size: Triple, oversampling: float) -> Compose:
    """Ranges of strength ``standard``; translations are in voxels, shears tangents."""
    crop = RandCropByPosNegLabeld(
        BOTH,
        "label",
        size,
        pos=oversampling,
        neg=1 - oversampling,
        fg_indices_key="label_fg_indices",
        bg_indices_key="label_bg_indices",
        allow_smaller=True,
    )
    affine = RandAffined(
        BOTH,
        plan.patch_size,
        prob=AFFINE_PROBABILITY,
        rotate_range=[math.radians(15)] * 3,
        shear_range=[math.tan(math.radians(5))] * 6,
        translate_range=[0.1 * n for n in plan.patch_size],
        scale_range=[0.1] * 3,
        mode=("bilinear", "nearest"),
        padding_mode="border",
    )
    elastic = Rand3DElasticd(
        BOTH,
        sigma_range=(5, 8),
        magnitude_range=(100, 200),
        prob=ELASTIC_PROBABILITY,
        mode=("bilinear", "nearest"),
        padding_mode="border",
    )
    chain = Compose(
        [
            crop,
            affine,
            elastic,
            *(RandFlipd(BOTH, prob=0.5, spatial_axis=axis) for axis in plan.flip_axes),
            RandScaleIntensityFixedMeand("image", factors=0.2, prob=1.0),
            RandStdShiftIntensityd("image", factors=0.2, prob=1.0),
            RandGaussianSmoothd("image", (0.5, 1.0), (0.5, 1.0), (0.5, 1.0), prob=BLUR_PROBABILITY),
            RandGaussianNoised("image", prob=NOISE_PROBABILITY, std=0.15),
        ]
    )
    return chain.set_random_state(0)
