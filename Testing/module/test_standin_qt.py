"""Qt as PythonQt shows it: the traps of SLICER.md, section 7, each of which must spring here too."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import qt
import slicer

failures = pytest.importorskip("slicer_standin.failures", reason="the application is no stand-in")


def test_properties_are_attributes(scene):
    button = qt.QPushButton("Start")
    assert (button.text, button.enabled, button.checkable) == ("Start", True, False)
    button.enabled = False
    button.name = "startButton"
    assert not button.isEnabled() and button.objectName == "startButton"
    with pytest.raises(TypeError):
        button.text()
    assert button.isVisible() is False and callable(button.layout) and button.className() == "QPushButton"


@pytest.mark.parametrize("name, value", [("text", 5), ("text", Path("a")), ("enabled", None), ("enabled", "no"),
                                         ("minimumWidth", 2.5), ("width", 5)])  # fmt: skip
def test_a_property_refuses_another_type(scene, name, value):
    with pytest.raises(AttributeError):
        setattr(qt.QPushButton(), name, value)


def test_enumerations_are_properties_too(scene):
    label = qt.QLabel()
    label.textFormat = qt.Qt.PlainText
    label.alignment = qt.Qt.AlignRight | qt.Qt.AlignTop
    label.frameShape = qt.QFrame.Box
    assert (label.textFormat, label.frameShape) == (qt.Qt.PlainText, qt.QFrame.Box)
    assert int(label.alignment) == int(qt.Qt.AlignRight) | int(qt.Qt.AlignTop)
    with pytest.raises(AttributeError):
        label.textFormat = "plain"


def test_plain_widgets_take_no_new_attributes(scene):
    for widget in (qt.QLabel(), slicer.qMRMLNodeComboBox()):
        for name in ("visble", "setText", "_mine"):
            if name == "_mine" and not isinstance(widget, qt.QLabel):
                continue  # what the stand-in keeps for itself
            with pytest.raises(AttributeError):
                setattr(widget, name, 1)

    class Mine(qt.QLabel):
        pass

    mine = Mine()
    mine.anything = 1
    assert mine.anything == 1


def test_a_misspelt_signal_is_only_printed_but_noted(scene, capsys):
    button = qt.QPushButton()
    assert not button.connect("cliked(bool)", lambda: None)
    assert not button.connect("clicked(int)", lambda: None)
    assert not qt.QCheckBox().connect("checkStateChanged(Qt::CheckState)", lambda: None)  # not in Qt 5.15
    assert "No such signal QPushButton::cliked(bool)" in capsys.readouterr().err
    assert len(failures.take()) == 3
    with pytest.raises(AttributeError):
        button.misspelt.connect(lambda: None)


def test_slots_get_as_many_arguments_as_they_name(scene):
    got = []
    button = qt.QPushButton()
    slots = {
        "none": lambda: got.append("none"),
        "default": lambda caller=None: got.append(("default", caller)),
        "all": lambda *arguments: got.append(("all", arguments)),
        "partial": functools.partial(lambda name, *arguments: got.append((name, arguments)), "partial"),
    }
    for slot in slots.values():
        assert button.connect("clicked(bool)", slot)
    button.click()
    assert got == ["none", ("default", False), ("all", (False,)), ("partial", (False,))]
    assert all(button.disconnect("clicked(bool)", slot) for slot in slots.values())
    assert not button.disconnect("clicked(bool)", slots["none"])
    button.click()
    assert len(got) == 4


def test_a_signal_attribute_takes_the_first_overload(scene):
    got = []

    def changed(*arguments):
        got.append(arguments)

    box = qt.QSpinBox()
    box.valueChanged.connect(changed)
    box.value = 3
    box.valueChanged.disconnect(changed)
    box.value = 4
    assert got == [(3,)]


def test_an_exception_in_a_slot_is_swallowed_and_noted(scene, capsys):
    button = qt.QPushButton()

    def fail():
        raise KeyError("lost")

    button.connect("clicked()", fail)
    button.click()
    assert "KeyError: 'lost'" in failures.take()[0]
    assert "KeyError" in capsys.readouterr().err


def test_an_exception_in_an_observer_is_noted(scene, capsys):
    def fail(caller, event):
        raise KeyError("observer")

    tag = scene.AddObserver(scene.NodeAddedEvent, fail)
    scene.AddNewNodeByClass("vtkMRMLTextNode")
    scene.RemoveObserver(tag)
    assert "KeyError: 'observer'" in "".join(failures.take())


def test_lists_of_texts_are_tuples(scene):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLTextNode"]
    assert selector.nodeTypes == ("vtkMRMLTextNode",)
    assert isinstance(qt.QWidget().children(), tuple)


def test_what_only_pyside_takes_is_refused(scene, tmp_path):
    with pytest.raises(ValueError, match="keyword"):
        qt.QLabel().setText(text="a")
    with pytest.raises(ValueError, match="path object"):
        qt.QLabel().setText(tmp_path)
    with pytest.raises(ValueError, match="wrong arguments"):
        qt.QLabel().setText(5)
    for name in ("Slot", "Signal", "Property"):
        assert not hasattr(qt, name)
    timer = qt.QTimer()
    with pytest.raises(AttributeError):
        timer.singleShot = True
    timer.setSingleShot(True)
    assert isinstance(qt.Qt.WaitCursor, int)


def test_a_destroyed_object_raises_value_error(scene):
    label = qt.QLabel("a")
    label.delete()
    with pytest.raises(ValueError):
        _ = label.text


def test_settings_keep_their_type_and_come_back_as_text_after_a_restart(scene):
    from slicer_standin import qt_settings

    settings = qt.QSettings()
    settings.setValue("MedSegTrainer/on", True)
    settings.setValue("MedSegTrainer/paths", ["a", "b"])
    assert slicer.app.userSettings().value("MedSegTrainer/on") is True
    assert slicer.util.settingsValue("MedSegTrainer/on", False, converter=slicer.util.toBool) is True
    qt_settings.restart()
    assert slicer.app.userSettings().value("MedSegTrainer/on") == "true"
    assert qt.QSettings().value("MedSegTrainer/paths") == ("a", "b")
    assert slicer.util.settingsValue("MedSegTrainer/on", False, converter=slicer.util.toBool) is True
    assert slicer.util.settingsValue("MedSegTrainer/none", 7) == 7


def test_settings_are_of_one_test(scene):
    assert not qt.QSettings().contains("MedSegTrainer/on")


def test_file_dialogs_give_the_prepared_path(scene):
    from slicer_standin import qt_dialogs

    qt_dialogs.answer("/a/b.json", "")
    assert qt.QFileDialog.getOpenFileName(None, "Load", "", "*.json") == "/a/b.json"
    assert qt.QFileDialog.getExistingDirectory(None, "Folder") == ""
    assert qt.QMessageBox.question(None, "t", "Sure?") == qt.QMessageBox.Cancel
    assert "Sure?" in failures.take()[0]


def test_a_process_runs(scene, wait_for):
    import sys

    process, got = qt.QProcess(), []
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: got.append(code))
    process.start(sys.executable, ["-I", "-S", "-c", "print('hello')"])
    wait_for(lambda: got, 60000)
    assert bytes(process.readAllStandardOutput().data()).strip() == b"hello"
    assert process.state() == qt.QProcess.NotRunning
