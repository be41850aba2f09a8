"""A scripted module from its file to its widget, its parameters, and pictures."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer

module_loading = pytest.importorskip("slicer_standin.module_loading", reason="the application is no stand-in")

TINY = Path(module_loading.__file__).parent / "tiny_module" / "TinyModule.py"


@pytest.fixture(scope="session")
def tiny_module():
    return module_loading.load_module(TINY)


@pytest.fixture
def tiny(scene, tiny_module):
    parent = tiny_module.widgetRepresentation()
    parent.reload()  # one for the whole run
    parent.show()
    yield slicer.modules.TinyModuleWidget
    parent.hide()
    for child in parent.children():
        if child.isWidgetType():
            child.hide()


def test_the_module_is_where_slicer_puts_it(tiny_module):
    assert slicer.modules.tinymodule.title == "Tiny"
    assert slicer.util.modulePath("TinyModule") == str(TINY)
    assert slicer.modules.TinyModuleInstance.resourcePath("UI/TinyModule.ui").endswith("TinyModule.ui")


def test_parameters_and_widgets_follow_each_other(tiny, make_volume):
    ui, parameters = tiny.ui, tiny.parameters
    assert not ui.applyButton.enabled and ui.thresholdSlider.maximum == 1000
    volume = make_volume("CT", np.zeros((2, 3, 4), np.int16))
    ui.volumeSelector.setCurrentNode(volume)
    assert parameters.inputVolume is volume and ui.applyButton.enabled
    ui.thresholdSlider.value = 40
    ui.invertBox.checked = True
    ui.pathEdit.currentPath = "a/b"
    assert (parameters.threshold, parameters.invert, parameters.path) == (40, True, pathlib.Path("a/b"))
    parameters.threshold = -5
    parameters.inputVolume = None
    assert ui.thresholdSlider.value == -5 and ui.volumeSelector.currentNode() is None
    with pytest.raises(ValueError):
        parameters.threshold = 5000
    with pytest.raises(TypeError):
        parameters.invert = "yes"


def test_enter_exit_cleanup_and_reload(tiny, tiny_module):
    parent = tiny_module.widgetRepresentation()
    parent.enter()
    tiny.ui.applyButton.enabled = True
    tiny.ui.applyButton.click()
    assert tiny.calls == ["enter", "apply"] and parent.isEntered
    slicer.util.reloadScriptedModule("TinyModule")
    assert tiny.calls[-1] == "cleanup"
    assert slicer.modules.TinyModuleWidget is not tiny and slicer.modules.TinyModuleWidget.calls == []
    assert tiny.ui.applyButton.text and not tiny.ui.applyButton.visible, "hidden, and still there"
    assert tiny_module.widgetRepresentation() is parent


def test_another_representation_is_another_panel(tiny, tiny_module):
    parent = tiny_module.createNewWidgetRepresentation()
    assert parent.self() is slicer.modules.TinyModuleWidget and parent.self() is not tiny
    assert tiny_module.widgetRepresentation().self() is tiny
    parent.self().cleanup()
    parent.delete()


def test_the_self_test_of_a_module_runs(tiny_module, scene):
    slicer.modules.TinyModuleInstance.runTest(msec=0)


def test_a_parameter_that_is_not_there_is_an_error(tiny):
    label = qt.QLineEdit()
    label.setProperty("SlicerParameterName", "nothing")
    with pytest.raises(ValueError):
        tiny.parameters.connectGui(type("Ui", (), {"__init__": lambda self: setattr(self, "label", label)})())


def test_dialogs_answer_by_themselves(scene, dialogs):
    assert slicer.util.confirmOkCancelDisplay("Overwrite?") is True
    dialogs.confirm = False
    assert slicer.util.confirmYesNoDisplay("Really?") is False
    slicer.util.errorDisplay("Failed")
    assert dialogs.shown == ["Overwrite?", "Really?", "Failed"]
    assert slicer.util.mainWindow() is None and slicer.app.layoutManager() is None


def test_the_application_has_signals_and_an_environment(scene):
    calls = []
    for signal in ("startupCompleted()", "aboutToQuit()", "mrmlSceneChanged(vtkMRMLScene*)"):
        assert slicer.app.connect(signal, calls.append)
    slicer.app.mrmlSceneChanged.emit(scene)
    assert calls == [scene]
    for signal in ("startupCompleted()", "aboutToQuit()", "mrmlSceneChanged(vtkMRMLScene*)"):
        assert slicer.app.disconnect(signal, calls.append)
    assert slicer.util.startupEnvironment()["PATH"] == os.environ["PATH"]


def test_the_panel_can_be_pictured(tiny, screenshot):
    image = qt.QImage(str(screenshot(tiny.parent, "tiny")))
    assert image.width() > 100 and image.height() > 100


def test_slice_views_show_a_segmentation_and_leave_no_nodes(
    make_volume, make_segmentation, render_slice_views, no_new_nodes
):
    rng = np.random.default_rng(1)
    volume = make_volume("CT", rng.integers(0, 100, (12, 30, 40)).astype(np.int16))
    mask = np.zeros((12, 30, 40), np.uint8)
    mask[3:9, 8:22, 10:30] = 1
    plain = render_slice_views("views_plain", volume)
    make_segmentation("seg", volume, {"liver": mask}, {"liver": (0.0, 1.0, 0.0)})
    with no_new_nodes():
        shown = render_slice_views("views_segment", volume)
    assert _green(plain) == 0 and _green(shown) > 500


def _green(path):
    image = qt.QImage(str(path))
    colors = (image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height()))
    return sum(color.green() > color.red() + 40 and color.green() > color.blue() + 40 for color in colors)


@pytest.mark.parametrize("name", ["test_slicer_parameter_node_wrapper.py", "test_slicer_parameter_node_wrapper_guis.py",
                                  "test_slicer_parameter_pack.py"])  # fmt: skip
def test_slicers_own_tests_pass_over_the_stand_in(name):
    source = os.environ.get("SLICER_PY_SOURCE")
    if not source:
        pytest.skip("SLICER_PY_SOURCE names no folder Base/Python of Slicer's sources")
    script = Path(module_loading.__file__).with_name("slicer_tests.py")
    tests = Path(source) / "slicer" / "tests" / name
    run = subprocess.run([sys.executable, str(script), str(tests)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
