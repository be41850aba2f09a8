"""Models of nnU-Net that somebody made to do harm: nothing in them runs, and each ends in words."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.any_description import read_description
from MedSegTrainerLib.model.package import load_members

FOLD = "fold_0/checkpoint_final.pth"
Spoil = Callable[[Path], Path | None]


class Runs:
    """What a pickle calls when it is opened: it leaves a file."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


def marker(folder: Path) -> Path:
    return folder.parent / "it ran"


def checkpoint(change: Callable[[dict[str, Any], Path], Any]) -> Spoil:
    """A checkpoint that holds something else."""

    def spoil(folder: Path) -> None:
        content = torch.load(folder / FOLD, weights_only=False)
        torch.save(change(content, folder) or content, folder / FOLD)

    return spoil


def called(function: Callable[..., Any], *arguments: object) -> Spoil:
    return checkpoint(lambda content, folder: {**content, "_best_ema": Runs(function, *arguments)})


def text(name: str, change: Callable[[dict[str, Any]], Any]) -> Spoil:
    """A file of JSON that says something else."""

    def spoil(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        change(document)
        (folder / name).write_text(json.dumps(document))

    return spoil


def configured(**changes: Any) -> Spoil:
    return text("plans.json", lambda plans: plans["configurations"]["3d_fullres"].update(changes))


def network(**changes: Any) -> Spoil:
    return text(
        "plans.json",
        lambda plans: plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(changes),
    )


def class_name(name: str) -> Spoil:
    return text(
        "plans.json",
        lambda plans: plans["configurations"]["3d_fullres"]["architecture"].update(network_class_name=name),
    )


def bytes_of(name: str, content: Callable[[bytes], bytes]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content((folder / name).read_bytes()))

    return spoil


def weight(change: Callable[[torch.Tensor], Any], name: str = "decoder.seg_layers.1.weight") -> Spoil:
    def of(content: dict[str, Any], folder: Path) -> None:
        content["network_weights"][name] = change(content["network_weights"][name])

    return checkpoint(of)


def written_again(folder: Path, change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> None:
    """The checkpoint's zip with other content."""
    with zipfile.ZipFile(folder / FOLD) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / FOLD, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, change(name, content))


def a_bare_pickle(folder: Path) -> None:
    (folder / FOLD).write_bytes(pickle.dumps({"network_weights": Runs(os.mkdir, str(marker(folder)))}))


def a_pickle_that_runs(folder: Path) -> None:
    checkpoint(lambda content, _: {**content, "logging": Runs(os.mkdir, str(marker(folder)))})(folder)


def a_pickle_of_another_protocol(folder: Path) -> None:
    content = pickle.dumps({"network_weights": Runs(os.mkdir, str(marker(folder)))}, protocol=4)
    written_again(folder, lambda name, old: content if name.endswith("data.pkl") else old)


def weights_packed_like_a_bomb(folder: Path) -> None:
    zeros = bytes(200 << 20)
    written_again(folder, lambda name, old: zeros if name.endswith("data/0") else old, zipfile.ZIP_DEFLATED)


def a_pickle_of_many_words(folder: Path) -> None:
    content = b"\x80\x02" + b"}0" * 2_000_000 + b"}."
    written_again(folder, lambda name, old: content if name.endswith("data.pkl") else old)


def a_cut_pickle(folder: Path) -> None:
    written_again(folder, lambda name, old: old[: len(old) // 2] if name.endswith("data.pkl") else old)


def a_program_of_torchscript(folder: Path) -> None:
    """Which is a zip with a data.pkl and constants beside the program."""
    with zipfile.ZipFile(folder / FOLD, "a") as archive:
        archive.writestr("checkpoint_final/constants.pkl", b"\x80\x02).")


def names_that_lead_out(folder: Path) -> Path:
    path = folder.parent / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (folder / "plans.json", folder / "dataset.json", folder / FOLD):
            archive.write(file, f"../../../outside/{file.relative_to(folder).as_posix()}")
    return path


def plans_of_a_gigabyte(folder: Path) -> Path:
    path = folder.parent / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (folder / "dataset.json", folder / FOLD):
            archive.write(file, file.relative_to(folder).as_posix())
        archive.writestr("plans.json", b"[" + b" " * (65 << 20) + b"]")
    return path


def weights_of_zeros(folder: Path) -> Path:
    path = folder.parent / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("plans.json", "dataset.json"):
            archive.write(folder / name, name)
        with archive.open(FOLD, "w") as stream:
            for _ in range(100):
                stream.write(bytes(1 << 20))
    return path


def a_pipe(folder: Path) -> None:
    (folder / FOLD).unlink()
    os.mkfifo(folder / FOLD)


def plans_of_the_first_version(folder: Path) -> None:
    (folder / "plans.json").unlink()
    (folder / "plans.pkl").write_bytes(pickle.dumps(Runs(os.mkdir, str(marker(folder)))))


def postprocessing_that_runs(folder: Path) -> None:
    (folder / "fold_0" / "postprocessing.pkl").write_bytes(pickle.dumps(Runs(os.mkdir, str(marker(folder)))))
    (folder / "dataset.json").unlink()


def a_second_fold_of_another_trainer(folder: Path) -> None:
    shutil.copytree(folder / "fold_0", folder / "fold_1")
    content = torch.load(folder / "fold_1" / "checkpoint_final.pth", weights_only=False)
    torch.save({**content, "trainer_name": "nnUNetTrainerUMamba"}, folder / "fold_1" / "checkpoint_final.pth")


def expanded(value: torch.Tensor) -> torch.Tensor:
    """As many numbers as were asked for, all in the same four bytes."""
    return torch.zeros(1).expand(value.shape)


def huge_network(folder: Path) -> None:
    network(features_per_stage=[4, 6, 900_000])(folder)


HOSTILE: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "a pickle alone": (a_bare_pickle, ("no checkpoint of PyTorch",)),
    "a pickle that makes a folder": (a_pickle_that_runs, (".mkdir", "could run code", "not opened")),
    "of protocol 4": (a_pickle_of_another_protocol, ("could run code",)),
    "eval": (called(eval, "__import__('os').mkdir('it ran')"), ("__builtin__.eval", "could run code")),
    "getattr": (called(getattr, 1, "real"), ("__builtin__.getattr",)),
    "a class of nnU-Net": (called(pickle.loads, b""), ("pickle.loads", "could run code")),
    "pathlib": (called(Path, "/"), ("pathlib", "neither a tensor nor a number")),
    "an array of NumPy": (
        checkpoint(lambda content, _: {**content, "logging": torch.zeros(2).numpy()}),
        ("_reconstruct", "neither a tensor nor a number"),
    ),
    "TorchScript": (a_program_of_torchscript, ("no checkpoint of PyTorch",)),
    "packed weights": (weights_packed_like_a_bomb, ("claims more than it holds",)),
    "a pickle without end": (a_pickle_of_many_words, ("more than 3000000 words",)),
    "a cut pickle": (a_cut_pickle, ("pickle is damaged",)),
    "a cut file": (bytes_of(FOLD, lambda content: content[: len(content) // 2]), ("cut short",)),
    "an empty file": (bytes_of(FOLD, lambda content: b""), ("no checkpoint of PyTorch",)),
    "a pipe": (a_pipe, ("is a pipe",)),
    "a list": (checkpoint(lambda content, _: [1, 2]), ("no values by their names",)),
    "no weights": (checkpoint(lambda content, _: {**content, "network_weights": 3}), ("no network_weights",)),
    "no trainer": (
        checkpoint(lambda content, _: {**content, "trainer_name": None}),
        ("names no trainer and configuration",),
    ),
    "odd mirroring": (
        checkpoint(lambda content, _: {**content, "inference_allowed_mirroring_axes": (0, 7)}),
        ("inference_allowed_mirroring_axes", "(0, 7)"),
    ),
    "another trainer in a fold": (a_second_fold_of_another_trainer, ("nnUNetTrainerUMamba", "nnUNetTrainer")),
    "a weight of another shape": (weight(lambda value: value[:1]), ("of another shape", "seg_layers.1.weight")),
    "a weight that is none": (weight(lambda value: "none"), ("no network_weights",)),
    "a weight of nothing": (weight(expanded), ("of another shape or type", "seg_layers.1.weight")),
    "a weight of NaN": (weight(lambda value: value * float("nan")), ("NaN", "seg_layers.1.weight")),
    "whole numbers as weights": (weight(lambda value: value.long()), ("int64",)),
    "a weight too many": (
        checkpoint(lambda content, _: content["network_weights"].update({"extra.weight": torch.zeros(3)})),
        ("not of this network: extra.weight",),
    ),
    "a network larger than its file": (huge_network, ("of another shape",)),
    "a million blocks": (network(n_conv_per_stage=[1, 10**6, 1]), ("n_conv_per_stage", "1000")),
    "a class of somebody": (class_name("os.system"), ("os.system", "no class of nnU-Net's own")),
    "a class by another path": (
        class_name("evil.architectures.unet.PlainConvUNet"),
        ("evil.architectures.unet.PlainConvUNet",),
    ),
    "a module to import": (network(nonlin="subprocess.Popen"), ("subprocess.Popen",)),
    "an operation to import": (network(conv_op="antigravity"), ("antigravity",)),
    "an unknown part": (network(block="my.package.Block"), ("block = 'my.package.Block'",)),
    "a cascade": (configured(previous_stage="3d_lowres"), ("second stage of a cascade", "3d_lowres")),
    "an inheritance without end": (configured(inherits_from="3d_fullres"), ("inherits from itself",)),
    "an inheritance of nothing": (configured(inherits_from="../../etc/passwd"), ("'../../etc/passwd'",)),
    "another preprocessor": (configured(preprocessor_name="MyPreprocessor"), ("MyPreprocessor",)),
    "another resampling": (configured(resampling_fn_data="my_resampling"), ("my_resampling",)),
    "another normalisation": (configured(normalization_schemes=["MyNormalization"]), ("MyNormalization",)),
    "a patch of a terabyte": (configured(patch_size=[4096, 4096, 4096]), ("patch_size", "voxels")),
    "a patch of nothing": (configured(patch_size=[0, 8, 8]), ("patch_size",)),
    "voxels of nothing": (configured(spacing=[0.0, 1.0, 1.0]), ("spacing",)),
    "a patch of words": (configured(patch_size="all"), ("patch_size",)),
    "a wrong transposition": (
        text("plans.json", lambda plans: plans.update(transpose_forward=[0, 0, 5])),
        ("transpose_forward", "[0, 0, 5]"),
    ),
    "another reader": (
        text("plans.json", lambda plans: plans.update(image_reader_writer="os.system")),
        ("image_reader_writer", "os.system"),
    ),
    "another label manager": (
        text("plans.json", lambda plans: plans.update(label_manager="MyManager")),
        ("label_manager", "MyManager"),
    ),
    "labels with gaps": (text("dataset.json", lambda data: data["labels"].update(cyst=9)), ("without gaps",)),
    "labels of words": (text("dataset.json", lambda data: data.update(labels={"a": "b"})), ("labels must pair",)),
    "an ignored label in between": (
        text("dataset.json", lambda data: data["labels"].update(ignore=1)),
        ("ignore", "the highest"),
    ),
    "channels without an order": (
        text("dataset.json", lambda data: data.update(channel_names={"7": "CT"})),
        ("channel_names",),
    ),
    "more channels than the plans have": (
        text("dataset.json", lambda data: data.update(channel_names={"0": "CT", "1": "PET"})),
        ("2 channels",),
    ),
    "a class that a terminal would obey": (
        text("dataset.json", lambda data: data.update(labels={"background": 0, "\x1b[2Jliver": 1, "cyst": 2})),
        ("is no name",),
    ),
    "plans that are no JSON": (bytes_of("plans.json", lambda content: b"{"), ("plans.json", "not valid JSON")),
    "plans that are a list": (bytes_of("plans.json", lambda content: b"[]"), ("plans.json is no object",)),
    "plans nested without end": (bytes_of("plans.json", lambda content: b"[" * 100_000), ("nested too deeply",)),
    "plans of the first version": (plans_of_the_first_version, ("holds no model",)),
    "no data set, and a pickle of clean-up": (postprocessing_that_runs, ("dataset.json is missing",)),
    "a zip with names that lead out": (names_that_lead_out, ("lacks model.json",)),
    "a zip with weights like a bomb": (weights_of_zeros, ("checkpoint_final.pth claims", "not opened")),
    "a zip with plans like a bomb": (plans_of_a_gigabyte, ("plans.json claims", "not opened")),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_runs_and_the_reason_is_told(
    name: str, write_nnunet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_nnunet(tmp_path / "results")
    spoil, words = HOSTILE[name]
    path = spoil(folder) or folder
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError) as refused:
        load_members(path)
    message = str(refused.value)
    assert [word for word in words if word not in message] == [], message
    assert message.startswith(str(tmp_path)) or "plans" in message
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_no_harm_is_read(write_nnunet: Callable[..., Path], tmp_path: Path) -> None:
    """The folder that all of them began as."""
    folder = write_nnunet(tmp_path / "results")
    (folder / "fold_0" / "postprocessing.pkl").write_bytes(pickle.dumps(Runs(os.mkdir, str(marker(folder)))))
    (member,) = load_members(folder)
    assert member.build() is not None
    assert not marker(folder).exists()


@pytest.mark.parametrize("name", ["a pickle that makes a folder", "a class of somebody", "plans that are no JSON"])
def test_the_command_ends_with_1_and_leaves_nothing(
    name: str, write_nnunet: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_nnunet(tmp_path / "results")
    HOSTILE[name][0](folder)
    with pytest.raises(SystemExit) as ended:
        main(["import", str(folder), "-o", str(tmp_path / "model")])
    assert ended.value.code == 1
    assert "cannot be used here" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_description_opens_no_checkpoint(write_nnunet: Callable[..., Path], tmp_path: Path) -> None:
    """What the panel shows of a model that would be refused later runs nothing either, whatever it is called."""
    folder = write_nnunet(tmp_path / "results")
    a_pickle_that_runs(folder)
    renamed = folder.rename(folder.parent / "renamed")
    assert read_description(renamed)["plan"]["architecture"] == "PlainConvUNet"
    assert not marker(folder).exists()
