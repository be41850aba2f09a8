"""Event files for TensorBoard: the curves of ``events.jsonl``, gradient histograms and pictures of a prediction.

The x-axis is the epoch. Files are appended to as a whole at each ``flush``, without a thread or an open file, so
that a live TensorBoard sees them, a full disk is told, and nothing holds up the end of the process.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MedSegTrainerLib.atomic import storage_errors
from MedSegTrainerLib.config.logged_metrics import LOGGED_METRICS, logged_metric
from MedSegTrainerLib.events import Epoch, Validated

if TYPE_CHECKING:
    from torch import nn

FILE_VERSION = "brain.Event:2"  # by which TensorBoard heeds the marks of a restart
BINS = 32
SAMPLED = 1 << 16  # gradients counted for a histogram of a larger layer


class TensorBoard:
    """Writes into ``folder``, or nothing at all unless ``enabled``.

    epoch: how many are done; what is already there about later ones no longer counts (a resumed training).
    Only ``flush`` writes; it raises StorageError.
    """

    def __init__(self, folder: Path, enabled: bool, epoch: int = 0) -> None:
        self.enabled = enabled
        if not enabled:
            return
        # the time comes first: TensorBoard reads the files of a folder in the order of their names
        name = f"events.out.tfevents.{time.time_ns() // 1000:017d}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / name
        self._waiting = io.BytesIO()
        self._write(file_version=FILE_VERSION)
        self.back_to(epoch)

    def back_to(self, epoch: int) -> None:
        """Takes back what was written about epochs after this one."""
        if self.enabled:
            from tensorboard.compat.proto.event_pb2 import SessionLog

            self._write(step=epoch + 1, session_log=SessionLog(status=SessionLog.START))

    def epoch(self, event: Epoch) -> None:
        tags = {name: metric.tag for name, metric in LOGGED_METRICS.items() if metric.of_epoch}
        self._scalars({tag: getattr(event, name) for name, tag in tags.items()}, event.epoch)

    def validated(self, event: Validated) -> None:
        """The metrics of the validation cases; those without a value are left out."""
        scalars = {
            tag_of(name): value
            for name, value in event.metrics.items()
            if value is not None and (metric := logged_metric(name)) is not None and not metric.of_epoch
        }
        self._scalars(scalars, event.epoch)

    def gradients(self, network: nn.Module, step: int) -> None:
        """A histogram of each layer's gradient as it is in ``.grad``; of biases and norms none."""
        if not self.enabled:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = []
        for name, parameter in network.named_parameters():
            if parameter.grad is None or parameter.ndim < 2:
                continue
            flat = parameter.grad.detach().flatten()
            some = flat[:: -(-flat.numel() // SAMPLED)].float().cpu().numpy()
            some = some[np.isfinite(some)]
            if some.size:
                values.append(Summary.Value(tag=f"gradients/{name}", histo=_histogram(some)))
        self._write(step=step, summary=Summary(value=values))

    def picture(self, name: str, png: bytes, step: int) -> None:
        """A PNG file under the tag ``prediction/NAME``."""
        if not self.enabled:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # PNG 11.2.2, chunk IHDR
        image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
        self._write(step=step, summary=Summary(value=[Summary.Value(tag=f"prediction/{name}", image=image)]))

    def flush(self) -> None:
        """Puts into the file what was written since the last time."""
        if not self.enabled or not self._waiting.tell():
            return
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as stream:
                stream.write(self._waiting.getvalue())
        self._waiting = io.BytesIO()

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        if not self.enabled:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary

        entries = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(step=step, summary=Summary(value=entries))

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        RecordWriter(self._waiting).write(Event(wall_time=time.time(), **fields).SerializeToString())


def tag_of(metric: str) -> str:
    """The tag of a metric of ``Validated``: val_dice/NAME is dice/NAME, val_dice itself is dice/mean."""
    name, _, label = metric.partition("/")
    logged = LOGGED_METRICS[name]
    return f"{logged.tag}/{label or 'mean'}" if logged.of_class else logged.tag


def _histogram(values: np.ndarray) -> Any:
    """A HistogramProto of even bins; the first bucket is empty and ends where the values begin."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto

    exact = values.astype(np.float64)
    counts, edges = np.histogram(exact, bins=BINS)
    return HistogramProto(
        min=exact.min(),
        max=exact.max(),
        num=exact.size,
        sum=exact.sum(),
        sum_squares=(exact**2).sum(),
        bucket_limit=edges.tolist(),
        bucket=[0.0, *counts.tolist()],
    )
