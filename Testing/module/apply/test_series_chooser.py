import time
from pathlib import Path

import pytest
import qt
import slicer
from MedSegTrainerUI.apply.dicom_series import Series, dicom_database, list_series, load_series
from MedSegTrainerUI.apply.series_chooser import MOST_SHOWN, SeriesChooser

from MedSegTrainerLib.errors import DataError

PATIENTS, STUDIES, SERIES = 500, 2, 5


class LargeDatabase:
    """Has the methods of ctkDICOMDatabase that list series, and thousands of them."""

    isOpen = True

    def patients(self):
        return tuple(str(number) for number in range(PATIENTS))

    def studiesForPatient(self, patient):
        return tuple(f"{patient}.{number}" for number in range(STUDIES))

    def seriesForStudy(self, study):
        return tuple(f"{study}.{number}" for number in range(SERIES))

    def nameForPatient(self, patient):
        return f"Doe^{patient}"

    def descriptionForStudy(self, study):
        return "follow up"

    def descriptionForSeries(self, uid):
        return "abdomen"

    def fieldForStudy(self, field, study):
        return ""

    def fieldForSeries(self, field, uid):
        return "CT" if int(uid[-1]) else "RTSTRUCT"


@pytest.fixture
def database():
    slicer.dicomDatabase = LargeDatabase()
    yield slicer.dicomDatabase
    slicer.dicomDatabase = None


@pytest.fixture
def chooser(scene, medsegtrainer, database):
    path = Path(medsegtrainer.path).parent / "Resources" / "UI" / "ManyVolumes.ui"
    widget = slicer.util.loadUI(str(path))
    changes = []
    made = SeriesChooser(slicer.util.childWidgetVariables(widget), lambda: changes.append(1))
    made.changes, made.widget = changes, widget
    yield made
    made.stop()


def seconds_of(call, *arguments):
    began = time.thread_time()
    call(*arguments)
    return time.thread_time() - began


def test_thousands_of_series_are_listed_in_pieces(chooser):
    chooser.look_again()
    slowest = 0.0
    while chooser.reading:
        slowest = max(slowest, seconds_of(chooser.onPiece))
    assert len(chooser.series) == PATIENTS * STUDIES * (SERIES - 1) and chooser.changes == [1]
    assert chooser.ui.seriesTable.rowCount == MOST_SHOWN
    assert f"The first {MOST_SHOWN} are shown" in chooser.ui.seriesLabel.text
    slowest = max(slowest, seconds_of(chooser.onSearch, ""), seconds_of(chooser.onAll), seconds_of(chooser.names))
    assert len(chooser.chosen()) == len(chooser.series) == len(set(chooser.names().values()))
    assert slowest < 0.05


def test_names_of_results_are_the_same_whatever_else_is_chosen(chooser):
    chooser.series = [
        Series(uid=str(number), patient="Doe", study="2026", description="CT", modality="CT") for number in range(2)
    ]
    chooser.onAll()
    both = chooser.names()
    assert len(set(both.values())) == 2 and all(name.startswith("Doe-2026-CT-") for name in both.values())
    chooser.ui.seriesTable.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert chooser.names() == {"1": both["1"]}


def test_all_that_were_found_are_chosen_and_let_go(chooser):
    chooser.series = [
        Series(uid=name, patient=name, study="", description="", modality="MR") for name in ("Ann", "Bob")
    ]
    chooser.ui.searchLineEdit.setText("ann")
    chooser.ui.chooseAllButton.click()
    assert [one.uid for one in chooser.chosen()] == ["Ann"]
    chooser.ui.chooseAllButton.click()
    assert chooser.chosen() == []


def test_a_database_that_was_closed_is_none(scene, database):
    assert dicom_database() is database
    database.isOpen = False
    assert dicom_database() is None
    slicer.dicomDatabase = None
    assert dicom_database() is None


def test_a_name_as_people_write_it(chooser):
    one = next(list_series(LargeDatabase()))
    assert one.patient == "Doe 0" and one.study == "follow up" and one.name == "Doe 0 follow up abdomen"
    assert one.matches("ABDO ct") and not one.matches("abdomen mr")


def test_a_series_that_is_not_in_the_database(scene, database):
    from slicer_standin.dicom_database import open_database

    open_database([])
    with pytest.raises(DataError, match="not in the DICOM database any more"):
        load_series("1.2.3")
