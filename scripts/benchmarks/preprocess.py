"""From files to prepared volumes: ours against MONAI's loading transforms, on the same files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    FgBgToIndicesd,
    NormalizeIntensityd,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
)

from benchmarks.dynunet import load_imaged
from benchmarks.material import Material
from benchmarks.timing import Comparison, Side
from MedSegTrainerLib.config.plan import Normalization, Plan
from MedSegTrainerLib.data.samples.preprocess import prepare_case
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.imaging.read import image_suffix

BOTH = ["image", "label"]
READ_BY_NIBABEL = (".nii.gz", ".nii")
RAS_AFFINE = (("L", "R"), ("P", "A"), ("I", "S"))  # what nibabel gives; MONAI warns where this is left to it


def comparisons(material: Material) -> Iterator[Comparison]:
    plan, cases = material.plan, material.cases
    for path in (path for case in cases for path in (*case.images, case.label)):
        if image_suffix(path) not in READ_BY_NIBABEL:
            raise UsageError(f"{path}: MONAI reads only NIfTI here. Convert the files, or leave 'preprocess' out.")
    chain = _transforms(plan)
    our_turn, their_turn = itertools.cycle(cases), itertools.cycle(cases)

    def theirs() -> object:
        case = next(their_turn)
        return chain({"image": [str(path) for path in case.images], "label": str(case.label)})

    sizes = np.median([case.label.shape for case in material.cached], axis=0).astype(int).tolist()
    z, y, x = plan.spacing
    yield Comparison(
        name="preprocess",
        work=f"prepare one case from files: median {sizes[0]} x {sizes[1]} x {sizes[2]} at {z:.2f} x {y:.2f} x {x:.2f} "
        f"mm, {len(cases)} cases in turn",
        ours=Side(
            name="MedSegTrainer prepare_case: SimpleITK, checks, foreground voxels",
            run=lambda: prepare_case(next(our_turn), plan),
        ),
        theirs=Side(
            name="MONAI LoadImaged (nibabel), EnsureChannelFirstd, Orientationd, Spacingd, normalisation, "
            "FgBgToIndicesd",
            run=theirs,
        ),
        calls=len(cases),
    )


def _transforms(plan: Plan) -> Compose:
    z, y, x = plan.spacing
    return Compose(
        [
            load_imaged(BOTH),
            EnsureChannelFirstd(BOTH),
            Orientationd(BOTH, axcodes="LPS", labels=RAS_AFFINE),
            Spacingd(BOTH, pixdim=(x, y, z), mode=("bilinear", "nearest")),
            _normalization(plan.normalization[0]),
            FgBgToIndicesd("label"),
        ]
    )


def _normalization(normalization: Normalization) -> Any:
    """The first channel's for all: they cost the same."""
    if normalization.method != "ct":
        return NormalizeIntensityd("image", channel_wise=True)
    low, high = ((edge - normalization.mean) / normalization.std for edge in (normalization.low, normalization.high))
    return ScaleIntensityRanged(
        "image", a_min=normalization.low, a_max=normalization.high, b_min=low, b_max=high, clip=True
    )
