"""A model of nnU-Net is the start of a training: its classes in one, a new one beside, and its way with images kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.model.nnunet_tensors import to_nnunet
from MedSegTrainerLib.model.package import load_members, load_package, read_card

LIVER, CYST = 2, 5


def with_labels(source: Path, root: Path, values: dict[int, int], names: list[str]) -> Path:
    """A data set whose label maps have other values; what is lowest, where nothing is, is the last name's."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for file in sorted((source / "images").iterdir()):
        image, label = (sitk.ReadImage(str(source / kind / file.name)) for kind in ("images", "labels"))
        array = sitk.GetArrayFromImage(label)
        changed = np.vectorize(lambda value: values.get(value, 0))(array).astype(np.uint8)
        if len(names) > len(set(values.values())):
            changed[:2][changed[:2] == 0] = len(names)
        written = sitk.GetImageFromArray(changed)
        written.CopyInformation(label)
        sitk.WriteImage(written, str(root / "labelsTr" / file.name))
        sitk.WriteImage(image, str(root / "imagesTr" / f"{file.name.removesuffix('.nii.gz')}_0000.nii.gz"))
    labels = {"background": 0, **{name: value for value, name in enumerate(names, start=1)}}
    document = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 6, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(document))
    return root


@pytest.fixture(scope="module")
def nnunet(
    dataset: Path,
    config_for: Callable[..., TrainConfig],
    write_nnunet: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An nnU-Net model of liver and cyst that has learned them, in the folder that nnU-Net would leave."""
    root = tmp_path_factory.mktemp("nnunet")
    data = with_labels(dataset, root / "data", {LIVER: 1, CYST: 2}, ["liver", "cyst"])
    job = JobFolder(root / "job")
    job.create(config_for(f"data.data_dir={data}", "network.type=PlainConvUNet", "epochs=3", "samples_per_volume=12"))
    run_job(job.path)
    package = load_package(job.path)
    plan = package.plan
    folder = write_nnunet(root, **plan.network)
    plans = json.loads((folder / "plans.json").read_text())
    (normalization,) = plan.normalization
    plans["foreground_intensity_properties_per_channel"]["0"] = {
        "mean": normalization.mean,
        "std": normalization.std,
        "percentile_00_5": normalization.low,
        "percentile_99_5": normalization.high,
    }
    plans["configurations"]["3d_fullres"] |= {
        "patch_size": plan.patch_size,
        "spacing": plan.spacing,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
    }
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text((data / "dataset.json").read_text())
    file = folder / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(file, weights_only=False)
    checkpoint["network_weights"] = to_nnunet(package.weights, plan.architecture, plan.network)
    torch.save(checkpoint, file)
    return folder


def test_classes_in_one_and_a_new_one_beside(
    nnunet: Path, dataset: Path, config_for: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    data = with_labels(dataset, tmp_path / "data", {LIVER: 1, CYST: 1}, ["organ", "low"])
    job = JobFolder(tmp_path / "begun")
    job.create(
        config_for(
            f"data.data_dir={data}", f"start.model={nnunet}", 'start.rename=["liver=organ", "cyst=organ"]',
            "data.patch_size=auto", "base_channels=auto", "epochs=1", "samples_per_volume=2", "tensorboard=false",
        )
    )  # fmt: skip
    run_job(job.path)
    package = load_package(job.path)
    (before,) = load_members(nnunet)
    assert package.plan.preparation == before.plan.preparation is not None
    assert package.plan.normalization == before.plan.normalization
    assert package.plan.spacing == before.plan.spacing
    assert package.plan.class_names == ("organ", "low")
    assert package.metrics["start"]["dice"]["organ"] > 0.6
    assert package.metrics["best"]["val_dice"] >= package.metrics["start"]["val_dice"]
    assert package.training["lineage"][0]["name"] == "Dataset004_Organs, 3d_fullres"
    assert "trained on cases that it does not name" in read_card(job.path)


def test_of_several_folds_one_is_asked_for(
    nnunet: Path, write_nnunet: Callable[..., Path], config_for: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    folder = write_nnunet(tmp_path, folds=2)
    job = JobFolder(tmp_path / "begun")
    job.create(config_for(f"start.model={folder}", "epochs=1"))
    with pytest.raises(ModelError, match=r"ensemble of 2 models.*Take one fold of it, such as .*fold_0"):
        run_job(job.path)
