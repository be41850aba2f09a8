import logging

import pytest
import qt
from MedSegTrainerUI.shared.messages import STYLES, report_errors, show_message

from MedSegTrainerLib.errors import DataError


class Section:
    def __init__(self):
        self.said = []

    def tell(self, text, severity="error"):
        self.said.append((text, severity))

    @report_errors
    def onClick(self):
        return "clicked"

    @report_errors
    def onChange(self, row, column):
        return row, column

    @report_errors
    def onWrong(self):
        raise DataError("CT_01 is empty. Load it again.")

    @report_errors
    def onMistake(self):
        raise ZeroDivisionError("by nought")


@pytest.mark.parametrize("severity", sorted(STYLES))
def test_a_message_is_shown_as_it_stands(severity):
    label = qt.QLabel()
    show_message(label, "<b>bold</b> & more", severity)
    assert label.text == "<b>bold</b> & more"
    assert label.textFormat == qt.Qt.PlainText
    assert label.styleSheet == STYLES[severity]
    assert not label.isHidden()


def test_no_message_takes_no_room():
    label = qt.QLabel("old")
    show_message(label, "")
    assert label.isHidden() and label.text == ""


def test_slots_get_the_arguments_that_they_take():
    section = Section()
    assert section.onClick(True) == "clicked"
    assert section.onChange(3, 1, "more") == (3, 1)
    assert section.said == []


def test_an_error_of_the_library_is_told_in_its_own_words():
    section = Section()
    assert section.onWrong() is None
    assert section.said == [("CT_01 is empty. Load it again.", "error")]


def test_a_mistake_is_told_in_a_sentence_and_logged_whole(caplog):
    section = Section()
    with caplog.at_level(logging.ERROR):
        section.onMistake()
    assert "by nought" in section.said[0][0] and "\n" not in section.said[0][0]
    assert "ZeroDivisionError" in caplog.text


def test_it_can_be_connected():
    button, section = qt.QPushButton(), Section()
    button.connect("clicked(bool)", section.onWrong)
    button.click()
    assert len(section.said) == 1
