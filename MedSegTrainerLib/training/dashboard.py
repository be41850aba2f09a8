"""What a running training shows besides its events: TensorBoard, the newest prediction of one case, ``curves.png``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.events import Epoch, Validated
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.report.curves import write_curves
from MedSegTrainerLib.report.formatting import hex_color
from MedSegTrainerLib.training.curve_points import CurvePoints
from MedSegTrainerLib.training.previews import Preview, draw_preview, write_preview
from MedSegTrainerLib.training.tensorboard import TensorBoard

CURVES_SECONDS = 30.0
LARGEST_SHARE = 0.01  # of the time that drawing curves may take, and writing previews as well


class Pace:
    """When something that takes a while is to be done again: not before ``seconds``, nor for more than a small share
    of the time. The first time is at once."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock, self.next = seconds, clock, -math.inf

    def is_due(self) -> bool:
        return self.clock() >= self.next

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around the work itself."""
        started = self.clock()
        yield
        ended = self.clock()
        self.next = ended + max(self.seconds, (ended - started) / LARGEST_SHARE)


class Dashboard:
    """Gets epochs and validations after their events were written, and writes files when asked to: after the
    model and the checkpoint, which matter more on a disk that is nearly full.

    epoch: how many are done, of a resumed training. ``refresh`` and ``close`` raise StorageError.
    """

    def __init__(self, folder: JobFolder, plan: Plan, *, tensorboard: bool, epoch: int = 0) -> None:
        self.folder, self.plan = folder, plan
        self.colors = {item.name: hex_color(item) for item in plan.classes}
        self.tensorboard = TensorBoard(folder.tensorboard, tensorboard, epoch)
        self.points = CurvePoints(folder.events_file)
        self.curves_pace, self.preview_pace = Pace(CURVES_SECONDS), Pace(0.0)
        self.newest: tuple[Preview, int] | None = None  # not shown yet, with its epoch

    def epoch(self, event: Epoch) -> None:
        self.tensorboard.epoch(event)

    def validated(self, event: Validated, preview: Preview | None, network: nn.Module) -> None:
        """``network`` has the gradients of the last step."""
        self.tensorboard.validated(event)
        self.tensorboard.gradients(network, event.epoch)
        self.newest = None if preview is None else (preview, event.epoch)

    def back_to(self, epoch: int) -> None:
        """Training goes on after this epoch again; what was shown of later ones is taken back."""
        self.tensorboard.back_to(epoch)
        if self.newest is not None and self.newest[1] > epoch:
            self.newest = None

    def refresh(self) -> None:
        """Writes what is new, as far as it is time for it."""
        if self.preview_pace.is_due():
            self._show_newest()
        self.tensorboard.flush()
        if self.curves_pace.is_due():
            self._draw_curves()

    def close(self) -> None:
        """Writes the last state of everything."""
        self._show_newest()
        self.tensorboard.flush()
        self._draw_curves()

    def _show_newest(self) -> None:
        if self.newest is None:
            return
        with self.preview_pace.timed():
            (preview, epoch), self.newest = self.newest, None
            picture = draw_preview(preview, self.plan.classes)
            write_preview(preview, picture, self.plan.classes, self.folder.previews, epoch=epoch)
            self.tensorboard.picture(preview.name, picture, epoch)

    def _draw_curves(self) -> None:
        with self.curves_pace.timed():
            write_curves(self.points.read(), self.colors, self.folder.curves_file)
