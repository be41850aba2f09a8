"""Event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread, imsave
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from MedSegTrainerLib.errors import StorageError
from MedSegTrainerLib.events import Epoch, Validated
from MedSegTrainerLib.training.tensorboard import SAMPLED, TensorBoard, tag_of

EPOCH = Epoch(epoch=1, epochs=9, step=10, train_loss=0.75, learning_rate=0.01, gradient_norm=2.5, seconds=1.0)
VALIDATED = Validated(
    epoch=1,
    minutes=0.5,
    mean_dice=0.5,
    dice={"liver": 0.5},
    metrics={
        "train_loss": 0.75, "learning_rate": 0.01, "gradient_norm": 2.5, "val_loss": 0.875, "val_dice": 0.5,
        "val_accuracy": 0.25, "val_iou": 0.125, "val_precision": None, "val_recall": 1.0, "val_foreground": 3.0,
        "val_dice/portal vein": 0.5, "val_iou/portal vein": 0.125, "val_precision/portal vein": None,
        "val_recall/portal vein": 1.0,
    },
)  # fmt: skip


def read(folder: Path) -> EventAccumulator:
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
    return reader.Reload()


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def write_epochs(board: TensorBoard, losses: dict[int, float]) -> None:
    for epoch, loss in losses.items():
        board.epoch(replace(EPOCH, epoch=epoch, train_loss=loss))
    board.flush()


class TestScalars:
    def test_all_have_readable_tags(self, tmp_path: Path) -> None:
        board = TensorBoard(tmp_path, True)
        board.epoch(EPOCH)
        board.validated(VALIDATED)
        board.flush()
        reader = read(tmp_path)
        scalars = {
            tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]
        }
        assert scalars == {
            "loss/train": [(1, 0.75)], "loss/validation": [(1, 0.875)], "learning_rate": [(1, pytest.approx(0.01))],
            "gradient_norm": [(1, 2.5)], "dice/mean": [(1, 0.5)], "dice/portal vein": [(1, 0.5)],
            "iou/mean": [(1, 0.125)], "iou/portal vein": [(1, 0.125)], "accuracy": [(1, 0.25)],
            "recall/mean": [(1, 1.0)], "recall/portal vein": [(1, 1.0)], "foreground/ratio": [(1, 3.0)],
        }  # fmt: skip

    def test_a_class_with_a_stroke_in_its_name(self) -> None:
        assert tag_of("val_dice/kidney/left") == "dice/kidney/left"

    def test_seen_while_the_training_goes_on(self, tmp_path: Path) -> None:
        board = TensorBoard(tmp_path, True)
        write_epochs(board, {1: 4.0})
        assert curve(tmp_path, "loss/train") == [(1, 4.0)]
        write_epochs(board, {2: 2.0})
        assert curve(tmp_path, "loss/train") == [(1, 4.0), (2, 2.0)]

    def test_nothing_is_written_twice(self, tmp_path: Path) -> None:
        board = TensorBoard(tmp_path, True)
        write_epochs(board, {1: 4.0})
        before = board.path.read_bytes()
        board.flush()
        assert board.path.read_bytes() == before


class TestResume:
    def test_epochs_of_a_dead_process_do_not_count(self, tmp_path: Path) -> None:
        write_epochs(TensorBoard(tmp_path, True), {1: 8.0, 2: 4.0, 3: 77.0, 4: 77.0})
        write_epochs(TensorBoard(tmp_path, True, epoch=2), {3: 2.0})
        assert curve(tmp_path, "loss/train") == [(1, 8.0), (2, 4.0), (3, 2.0)]

    def test_going_back_within_a_process(self, tmp_path: Path) -> None:
        board = TensorBoard(tmp_path, True)
        write_epochs(board, {1: 8.0, 2: 77.0})
        board.back_to(1)
        write_epochs(board, {2: 4.0})
        assert curve(tmp_path, "loss/train") == [(1, 8.0), (2, 4.0)]

    def test_a_torn_file_does_not_spoil_the_next(self, tmp_path: Path) -> None:
        dead = TensorBoard(tmp_path, True)
        write_epochs(dead, {1: 8.0, 2: 4.0})
        dead.path.write_bytes(dead.path.read_bytes()[:-7])
        write_epochs(TensorBoard(tmp_path, True, epoch=1), {2: 2.0})
        assert curve(tmp_path, "loss/train") == [(1, 8.0), (2, 2.0)]


class TestGradients:
    def network(self) -> nn.Module:
        network = nn.Sequential(nn.Conv3d(2, 4, 3), nn.InstanceNorm3d(4, affine=True), nn.Conv3d(4, 1, 1))
        for parameter in network.parameters():
            parameter.grad = torch.linspace(-2, 1, parameter.numel()).view(parameter.shape)
        return network

    def write(self, network: nn.Module, folder: Path) -> EventAccumulator:
        board = TensorBoard(folder, True)
        board.gradients(network, 5)
        board.flush()
        return read(folder)

    def test_a_histogram_of_each_layer(self, tmp_path: Path) -> None:
        reader = self.write(self.network(), tmp_path)
        assert reader.Tags()["histograms"] == ["gradients/0.weight", "gradients/2.weight"]
        event = reader.Histograms("gradients/0.weight")[0]
        values = event.histogram_value
        assert event.step == 5
        assert (values.min, values.max, values.num) == (-2, 1, 2 * 4 * 27)
        assert sum(values.bucket) == values.num
        assert values.sum / values.num == pytest.approx(-0.5)
        below = sum(n for n, limit in zip(values.bucket, values.bucket_limit, strict=True) if limit <= -0.5 + 1e-6)
        assert below == pytest.approx(values.num / 2, abs=1)

    def test_layers_without_gradient_or_with_infinite_ones(self, tmp_path: Path) -> None:
        network = self.network()
        first, last = network[0].weight, network[2].weight  # type: ignore[index]
        first.grad = None
        last.grad[0, 0] = float("nan")
        reader = self.write(network, tmp_path)
        assert reader.Tags()["histograms"] == ["gradients/2.weight"]
        assert reader.Histograms("gradients/2.weight")[0].histogram_value.num == 3

    def test_a_layer_where_all_are_nan_and_one_where_all_are_zero(self, tmp_path: Path) -> None:
        network = self.network()
        network[0].weight.grad.fill_(float("nan"))  # type: ignore[index]
        network[2].weight.grad.zero_()  # type: ignore[index]
        assert self.write(network, tmp_path).Tags()["histograms"] == ["gradients/2.weight"]

    def test_of_a_large_layer_some_are_counted(self, tmp_path: Path) -> None:
        layer = nn.Linear(300, 1000)
        layer.weight.grad = torch.randn(1000, 300, generator=torch.Generator().manual_seed(1))
        values = self.write(layer, tmp_path).Histograms("gradients/weight")[0].histogram_value
        assert SAMPLED / 2 < values.num <= SAMPLED
        assert values.sum_squares / values.num == pytest.approx(1, rel=0.05)


class TestPicture:
    def test_comes_back_as_it_was(self, tmp_path: Path, generator: np.random.Generator) -> None:
        rgb = generator.integers(0, 255, (21, 340, 3), dtype=np.uint8)
        stream = io.BytesIO()
        imsave(stream, rgb, format="png")
        board = TensorBoard(tmp_path, True)
        board.picture("case 7", stream.getvalue(), 12)
        board.flush()
        image = read(tmp_path).Images("prediction/case 7")[0]
        assert (image.step, image.width, image.height) == (12, 340, 21)
        decoded = imread(io.BytesIO(image.encoded_image_string))[..., :3]
        assert np.array_equal((255 * decoded).round(), rgb)


class TestFiles:
    def test_disabled_writes_nothing(self, tmp_path: Path) -> None:
        board = TensorBoard(tmp_path / "tensorboard", False)
        board.epoch(EPOCH)
        board.validated(VALIDATED)
        board.gradients(nn.Linear(2, 2), 1)
        board.picture("a", b"", 1)
        board.back_to(0)
        board.flush()
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "tensorboard").write_text("in the way")
        board = TensorBoard(tmp_path / "tensorboard", True)
        board.epoch(EPOCH)
        with pytest.raises(StorageError, match="tensorboard"):
            board.flush()

    def test_no_thread_is_left(self, tmp_path: Path) -> None:
        before = threading.active_count()
        write_epochs(TensorBoard(tmp_path, True), {1: 1.0})
        assert threading.active_count() == before
