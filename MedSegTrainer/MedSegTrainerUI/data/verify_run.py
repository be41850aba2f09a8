"""The data doctor of the library, run on the rows of the table or on a folder: jobs of kind verify."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MedSegTrainerLib.config import DataConfig, TrainConfig, VerifyConfig
from MedSegTrainerLib.errors import DataError, JobError, MedSegError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.job import STOP_NOW, JobFolder
from MedSegTrainerUI.jobs.job_monitor import JobWatch
from MedSegTrainerUI.panel_view import PanelView
from MedSegTrainerUI.scene.case_checks import Finding
from MedSegTrainerUI.scene.case_rows import CaseRow


class DataCheck:
    """A verify job that runs. ``source`` is the folder that is searched for cases, '' where rows are checked."""

    def __init__(self, panel: PanelView, source: str = "") -> None:
        self.panel, self.source = panel, source
        self.folder: JobFolder = panel.jobs.new("find-cases" if source else "check-data")
        self.watch = JobWatch(self.folder)

    def start(self, write_data: Callable[[Path], None]) -> None:
        """``write_data`` writes the cases into a folder; where that or the start fails, nothing is left behind."""
        data = self.source or str(self.folder.path / "data")
        train = TrainConfig(data=DataConfig(data_dir=data))
        seen = {"pictures": 0, "samples": 0} if self.source else {}
        try:
            self.folder.create(VerifyConfig(train=train, **seen))
            if not self.source:
                write_data(self.folder.path / "data")
            process = self.panel.environment.start(self.folder)
        except BaseException:
            shutil.rmtree(self.folder.path, ignore_errors=True)
            raise
        self.watch.expect_start(process)

    @property
    def progress_text(self) -> str:
        """How far it is, in words."""
        return _("checking, {percent} %").format(percent=round(100 * self.watch.progress))

    def poll(self) -> bool:
        """Whether the job goes on."""
        self.watch.poll()
        return self.watch.working or not self.watch.caught_up

    def stop(self) -> None:
        with suppress(MedSegError):  # a full disk: it ends by itself
            self.folder.request_stop(STOP_NOW)

    def findings(self) -> list[Finding]:
        """What the finished job found; raises MedSegError where it failed. The exported volumes are deleted."""
        shutil.rmtree(self.folder.path / "data", ignore_errors=True)  # the report shows them
        return read_findings(self._document())

    def cases(self) -> tuple[list[CaseRow], list[Finding]]:
        """Rows for the cases of the folder, with what was found about them; the job is removed."""
        try:
            document = self._document()
        finally:
            shutil.rmtree(self.folder.path, ignore_errors=True)
        return read_cases(document), read_findings(document)

    def _document(self) -> dict[str, Any]:
        try:
            document: dict[str, Any] = read_json_file(self.folder.report / "verify.json", JobError)
            return document
        except (OSError, JobError):
            pass
        outcome = self.watch.outcome or {}
        if outcome.get("kind") == "failed":
            raise DataError(str(outcome["message"]))
        if outcome.get("kind") == "stopped":
            raise JobError(_("The check was stopped."))
        raise JobError(
            _("The check ended without a word. Test the environment in section 5; {log} may tell more.").format(
                log=self.folder.log_file
            )
        )


def report_page(panel: PanelView, name: str) -> Path | None:
    """The page of an earlier check, where it is still there."""
    page = panel.jobs.folder(name).report / "verify.html" if name else None
    return page if page is not None and page.is_file() else None


def forget_check(panel: PanelView, name: str) -> None:
    """Removes an earlier check, unless it still runs or its files are in use."""
    try:
        if name:
            panel.jobs.remove(panel.jobs.folder(name))
    except MedSegError:
        return


def forget_exports(panel: PanelView) -> None:
    """Deletes the copies of volumes that checks have left which nobody was there to see the end of."""
    for data in panel.jobs.root.glob("check-data*/data"):
        watch = JobWatch(JobFolder(data.parent))
        watch.poll()
        if not watch.working:
            shutil.rmtree(data, ignore_errors=True)


def read_findings(document: dict[str, Any]) -> list[Finding]:
    return [
        Finding(severity=one["severity"], message=one["message"], remedy=one["remedy"], case=one["case"])
        for one in document["findings"]
    ]


def read_cases(document: dict[str, Any]) -> list[CaseRow]:
    """A row for each case; those that training would refuse have no check mark.

    Raises DataError where classes overlap or have a file each: a row has one label map, whose values are the classes.
    """
    others = [case["name"] for case in document["cases"] if not case["is_plain"]]
    if others:
        raise DataError(
            _(
                "The classes of this folder overlap, or have a file each (first in {case}). Load its volumes and "
                "segmentations into the scene and add them from there, or train it with the command line."
            ).format(case=others[0])
        )
    segments = tuple(item["name"] for item in document["classes"])
    values = tuple(item["value"] for item in document["classes"])
    rows = []
    for case in document["cases"]:
        files = {"images": tuple(case["images"]), "label": case["label"], "segments": segments, "values": values}
        known = {**_labelled(case), "ignore_label": document["ignore_label"]}
        rows.append(CaseRow(name=case["name"], use=not case["counts"]["error"], **files, **known))
    return rows


def _labelled(case: dict[str, Any]) -> dict[str, Any]:
    """What was drawn in a case, and where, as its folder says."""
    drawn, axis, box = case["drawn"], case["labelled_slices"], case["labelled_box"]
    return {
        "drawn": None if drawn is None else tuple(drawn),
        "region": "slices" if axis else "box" if box else "everywhere",
        "axis": "" if axis == "auto" else axis,
        "box": box and (tuple(box[0]), tuple(box[1])),
    }
