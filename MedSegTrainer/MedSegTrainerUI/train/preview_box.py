"""The check box of the prediction while a training goes on, and what it shows in the slice views.

The prediction is drawn only in views that show its volume and while the panel is shown, and goes with the end of the
training: no other patient's image and no work elsewhere is disturbed by it.
"""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.jobs.job_list import job_classes
from MedSegTrainerUI.panel_view import open_scene
from MedSegTrainerUI.shared.slice_views import views_with
from MedSegTrainerUI.slicer_types import VolumeNode, Widget
from MedSegTrainerUI.train.job_protocol import JobView
from MedSegTrainerUI.train.prediction_preview import Preview


class PreviewBox:
    """``box`` is a QCheckBox; ``section`` has the panel, the parameters and the JobWatch that is shown."""

    def __init__(self, section: JobView, box: Widget) -> None:
        self._section, self._box = section, box
        self.preview = Preview()
        self._asked = False  # also of a job that has ended

    def watch_another(self) -> None:
        self._asked = False
        self.preview.remove()

    def ended(self) -> None:
        self._asked = False

    def look(self) -> bool:
        """Whether the folder of the job has a new prediction."""
        if self._section.watched is None or self._section.parameters is None:
            return False
        return self.preview.look(self._section.watched.folder.previews)

    def choose(self, checked: bool) -> None:
        """The user has clicked: the volume comes into the views where none shows it."""
        open_scene(self._section.parameters).showPreview = checked
        self._asked = checked
        volume = self._volume() if checked else None
        if volume is not None and not views_with(volume):
            slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None, fit=True)
        self.show()

    def show(self) -> None:
        """Brings prediction and box up to date; while the scene is being closed it is left alone."""
        if self._section.parameters is None:
            return
        watch = self._section.watched
        if watch is None or not self._wanted():
            self.preview.remove()
        else:
            volume = self._volume() if self._section.panel.entered else None
            views = views_with(volume) if volume is not None else []
            if views:
                self.preview.show(volume, job_classes(watch.folder))
            self.preview.draw(views)
        self.show_box()

    def show_box(self) -> None:
        box, preview = self._box, self.preview
        box.visible = bool(self._section.watched is not None and preview.case)
        if self._section.parameters is None or not box.visible:
            return
        volume = self._volume()
        there = volume is not None
        box.enabled = there
        box.checked = bool(there and self._wanted() and views_with(volume))
        box.text = _("show prediction of {case} in the views").format(case=preview.case)
        box.toolTip = (
            _(
                "The prediction after epoch {epoch}, in the slice views that show {case}, while the training goes on. "
                "Where none does, a click shows {case} in them."
            ).format(epoch=preview.epoch, case=preview.case)
            if there
            else _("{case} is not among the volumes of the table above.").format(case=preview.case)
        )

    def _wanted(self) -> bool:
        watch, parameters = self._section.watched, self._section.parameters
        if watch is None or parameters is None or not parameters.showPreview:
            return False
        return bool(watch.working or self._asked)

    def _volume(self) -> VolumeNode:
        """The volume of the case of the newest prediction; None where it is not in the scene."""
        rows = self._section.panel.rows() if self.preview.case else []
        row = next((row for row in rows if row.name == self.preview.case and row.volumes), None)
        return row.volumes[0] if row is not None else None
