"""scripts/bench.py in its smallest form: that it runs, and that both sides of a row do the same work. No times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("monai", reason="the extra 'bench' is not installed")
pytest.importorskip("nibabel", reason="MONAI reads NIfTI with it")

import bench
from benchmarks import augment, preprocess, train
from benchmarks.material import Material, prepare
from benchmarks.plain_unet import PlainUNet, plain_loss
from benchmarks.timing import Comparison, Side, compare

from MedSegTrainerLib.losses.segmentation_loss import build_loss
from MedSegTrainerLib.networks import build_network

ROWS = ["train", "train-monai", "augment", "preprocess"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return prepare(None, tmp_path_factory.mktemp("bench"), CPU, bench.SMOKE_VOLUME, smoke=True)


class TestRun:
    def test_every_row_names_both_sides_and_has_positive_times(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = tmp_path / "bench.json"
        assert bench.run(bench.read_arguments(["--smoke", "--device", "cpu", "-o", str(output)])) == 0
        document = json.loads(output.read_text(encoding="utf-8"))
        assert [row["name"] for row in document["rows"]] == ROWS
        for row in document["rows"]:
            ours, theirs = row["ours"], row["theirs"]
            assert row["work"]
            assert "MedSegTrainer" in ours["name"]
            assert "plain fp32 PyTorch" in theirs["name"] or "MONAI" in theirs["name"]
            for side in (ours, theirs):
                assert len(side["times_ms"]) == document["rounds"] == 1
                assert 0 < side["min_ms"] <= side["median_ms"] <= side["max_ms"]
            assert row["ratio"] == pytest.approx(theirs["median_ms"] / ours["median_ms"])
        assert {"infer", "stages", "limit"} <= document["sections"].keys()
        assert all(document["machine"].values())
        printed = capsys.readouterr().out
        assert all(name in printed for name in (*ROWS, "A training of 20 minutes", "Limit of the device"))

    def test_a_wrong_folder_is_told_in_words(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["--smoke", "--data", str(tmp_path / "nowhere"), "-o", str(tmp_path / "bench.json")]
        assert bench.run(bench.read_arguments(arguments)) == 1
        assert "nowhere does not exist" in capsys.readouterr().err

    def test_an_unknown_comparison_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            bench.read_arguments(["--only", "train,tran"])
        assert "--only tran is unknown; there are train, augment" in capsys.readouterr().err


class TestTiming:
    def test_sides_take_turns_after_one_call_each_to_warm_up(self) -> None:
        calls: list[str] = []
        row = compare(_letters(calls, repeated=2), 2, CPU)
        assert "".join(calls) == "ab" + "aabb" * 2
        assert len(row["ours"]["times_ms"]) == 2


class TestSameWork:
    def test_plain_network_computes_what_ours_computes(self, material: Material) -> None:
        ours, plain = _both_networks(material)
        images = torch.randn(2, 1, *material.plan.patch_size)
        expected, got = ours(images), plain(images)
        assert len(expected) == len(got) == 2
        for one, other in zip(expected, got, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)

    def test_plain_loss_is_our_loss(self, material: Material) -> None:
        plan = material.plan
        classes = len(plan.classes) + 1
        coarse = torch.randint(classes, (2, *(n // 2 for n in plan.patch_size)))
        labels = coarse.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
        logits = [torch.randn(2, classes, *shape) for shape in (plan.patch_size, coarse.shape[1:])]
        expected = build_loss(plan.loss, classes, CPU)(logits, labels)
        torch.testing.assert_close(plain_loss(logits, labels), expected)

    def test_monai_network_judges_as_many_resolutions(self, material: Material) -> None:
        ours, _ = _both_networks(material)
        monai = train._dynunet(material.plan).train()
        images = torch.randn(2, 1, *material.plan.patch_size)
        assert monai(images).shape[1] == len(ours(images))

    def test_both_training_steps_lower_their_loss(self, material: Material) -> None:
        for comparison in train.comparisons(material):
            first: Any = comparison.theirs.run()
            ours: Any = comparison.ours.run()
            for _ in range(5):
                last: Any = comparison.theirs.run()
                ours_last: Any = comparison.ours.run()
            assert last < first, comparison.theirs.name
            assert ours_last[0] < ours[0], comparison.ours.name

    def test_both_augmentations_give_batches_of_patches(self, material: Material) -> None:
        comparison = next(augment.comparisons(material))
        images, labels = _run(comparison.ours)
        ((their_images, their_labels),) = _run(comparison.theirs)
        shape = (material.plan.batch_size, *material.plan.patch_size)
        assert labels.shape == their_labels[:, 0].shape == shape
        assert images[:, 0].shape == their_images[:, 0].shape == shape
        assert len(their_labels.unique()) > 1
        assert set(their_labels.unique().tolist()) <= {0, 1, 2, 3, 4}

    def test_both_preparations_see_the_same_anatomy(self, material: Material) -> None:
        comparison = next(preprocess.comparisons(material))
        ours, theirs = _run(comparison.ours), _run(comparison.theirs)
        image = np.asarray(theirs["image"])[0].transpose(2, 1, 0)
        label = np.asarray(theirs["label"])[0].transpose(2, 1, 0)
        z, y, x = np.minimum(image.shape, ours.label.shape) - 1  # MONAI may round a size up where we round it down
        assert max(abs(a - b) for a, b in zip(image.shape, ours.label.shape, strict=True)) <= 1
        correlation = np.corrcoef(image[:z, :y, :x].ravel(), ours.image[0, :z, :y, :x].ravel())[0, 1]
        assert correlation > 0.95
        assert np.mean(label[:z, :y, :x] == ours.label[:z, :y, :x]) > 0.97
        assert image.std() == pytest.approx(ours.image.std(), rel=1e-3)


def _both_networks(material: Material) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The planned network and the plain one with the same weights, the norms' made different from layer to layer."""
    ours = build_network(material.plan.architecture, material.plan.network)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    plain = PlainUNet(material.plan.network)
    with torch.no_grad():
        for theirs, weights in zip(plain.parameters(), ours.parameters(), strict=True):
            assert theirs.shape == weights.shape
            theirs.copy_(weights)
    return ours, plain


def _letters(calls: list[str], repeated: int) -> Comparison:
    ours, theirs = (Side(name=letter, run=lambda letter=letter: calls.append(letter)) for letter in "ab")
    return Comparison(name="letters", work="write a letter", ours=ours, theirs=theirs, calls=repeated)


def _run(side: Side) -> Any:
    return side.run()
