from types import SimpleNamespace

import numpy as np
import pytest
import qt
import slicer


@pytest.fixture(autouse=True)
def folder(scene, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    yield
    qt.QSettings().remove("MedSegTrainer/Folder")


def test_the_five_sections_are_there(panel):
    panel.ui.oneSectionCheckBox.click()  # all are open
    for name in ("data", "train", "apply", "evaluate", "environmentSection"):
        section = getattr(panel, name)
        for method in ("setParameterNode", "refresh", "onTimer", "cleanup"):
            assert callable(getattr(section, method))
        assert section.uiWidget.isVisibleTo(panel.uiWidget)


def test_jobs_are_kept_in_the_folder_of_the_settings(panel, tmp_path):
    assert panel.jobs.root == tmp_path / "home" / "jobs"


def test_a_changed_parameter_refreshes_the_sections_while_the_panel_is_entered(panel):
    calls = []
    panel.data.refresh = lambda: calls.append(panel.parameters.classNames)
    panel.parameters.classNames = '{"a": "b"}'
    assert calls == ['{"a": "b"}']
    panel.exit()
    panel.parameters.classNames = "{}"
    assert len(calls) == 1
    panel.enter()
    assert calls[-1] == "{}"


def test_a_refresh_within_a_refresh_does_nothing(panel):
    calls = []

    def refresh():
        calls.append(True)
        panel.refresh()

    panel.data.refresh = refresh
    panel.refresh()
    assert len(calls) == 1


def test_the_timer_reaches_every_section_also_while_the_panel_is_hidden(panel, wait_for):
    calls = []
    panel.environmentSection.onTimer = lambda: calls.append(True)
    panel.exit()
    wait_for(lambda: calls)


@pytest.mark.parametrize("name", ["data", "train", "apply", "evaluate", "environmentSection"])
def test_a_section_that_fails_in_the_timer_says_so_and_stops_no_other(panel, name, caplog):
    def fail(*arguments):
        raise ValueError("a mistake")

    section, sections, calls = getattr(panel, name), panel._sections, []
    section._check = section.run = section.environment = SimpleNamespace(poll=fail, busy=True)
    if name == "train":
        section.job.onTimer = fail
    panel._sections = (section, SimpleNamespace(onTimer=lambda: calls.append(True)))
    panel.onTimer()
    assert calls == [True]
    assert "mistake in MedSegTrainer: a mistake" in section.ui.messageLabel.text and "failed" in caplog.text
    section._check, section.run, section.environment, panel._sections = None, None, panel.environment, sections


def test_the_section_environment_is_open_until_it_is_ready(panel):
    assert panel.environment.state == "new" and not panel.ui.environmentButton.collapsed


def test_closing_the_scene_forgets_and_a_new_one_is_remembered(panel):
    panel.parameters.classNames = '{"a": "b"}'
    slicer.mrmlScene.Clear()
    assert panel.class_names() == {}
    panel.parameters.classNames = '{"c": "d"}'
    assert panel.class_names() == {"c": "d"}


@pytest.fixture
def saved_scene(panel, make_volume, make_segmentation, tmp_path):
    """A file with a scene that has rows, and a class renamed; the scene is empty again."""
    voxels = np.arange(480, dtype=np.int16).reshape(6, 8, 10)
    for name in ("CT_01", "CT_02"):
        make_segmentation(f"{name}-seg", make_volume(name, voxels), {"liver": voxels > 400, "cyst": voxels < 9})
    panel.data.ui.addAllButton.click()
    panel.parameters.classNames = '{"cyst": "lesion", "liver": "organ"}'
    path = tmp_path / "saved.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear()
    return path


def test_a_scene_that_is_added_adds_its_rows_and_takes_none(
    panel, saved_scene, make_volume, make_segmentation, wait_for
):
    voxels = np.arange(480, dtype=np.int16).reshape(6, 8, 10)
    mine = make_volume("CT_01", voxels)
    make_segmentation("CT_01-seg", mine, {"liver": voxels > 300})
    panel.data.ui.addAllButton.click()
    panel.parameters.classNames = '{"liver": "hepar"}'
    panel.parameters.trainingJob = "mine"
    slicer.util.loadScene(str(saved_scene))
    assert [row.name for row in panel.rows()] == ["CT_01", "CT_01 2", "CT_02"]
    assert panel.rows()[0].volumes == (mine,) and panel.rows()[1].volumes[0] is not mine
    assert panel.class_names() == {"liver": "hepar", "cyst": "lesion"}
    assert panel.parameters.trainingJob == "mine"
    assert "2 rows were added to yours" in panel.data.ui.messageLabel.text


def test_a_scene_that_is_added_to_an_empty_one_brings_all_it_has(panel, saved_scene):
    slicer.util.loadScene(str(saved_scene))
    assert [row.name for row in panel.rows()] == ["CT_01", "CT_02"]
    assert panel.class_names() == {"liver": "organ", "cyst": "lesion"}
    assert panel.data.ui.messageLabel.text == ""


def test_while_hidden_a_closed_scene_is_forgotten_until_the_panel_is_entered(panel, module_widget):
    module_widget.exit()
    slicer.mrmlScene.Clear()
    assert panel.parameters is None and panel.rows() == [] and panel.classes() == []
    module_widget.enter()
    assert panel.parameters is not None


def test_after_cleanup_nothing_calls_the_panel(panel):
    calls, parameters = [], panel.parameters
    panel.cleanup()
    panel.data.refresh = lambda: calls.append(True)
    parameters.classNames = '{"a": "b"}'
    panel.cleanup()
    assert calls == [] and panel.Observations == []


def test_after_a_reload_the_old_widgets_change_nothing(medsegtrainer, dialogs, scene):
    parent = medsegtrainer.widgetRepresentation()
    parent.self().cleanup()  # it is one for the whole run, and perhaps of another test
    parent.reload()
    old, parameters = parent.self().panel, parent.self().panel.parameters
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.util.reloadScriptedModule("MedSegTrainer")
    try:
        assert parent.self().panel is not old
        old.train.ui.quickRadio.click()
        old.apply.ui.ttaCheckBox.click()
        old.apply.ui.outputSelector.setCurrentNode(node)
        old.evaluate.ui.predictionSelector.setCurrentNode(node)
        assert parameters.duration.name == "BALANCED" and not parameters.tta
        assert parameters.outputSegmentation is None and parameters.evaluatePrediction is None
    finally:
        parent.self().cleanup()


def test_it_can_be_looked_at(panel, module_widget, screenshot):
    from MedSegTrainerUI.samples.sample_data import load_phantoms

    load_phantoms()
    panel.data.ui.addAllButton.click()
    parent = module_widget.parent
    parent.setFixedWidth(440)
    slicer.app.processEvents()
    parent.setFixedHeight(parent.heightForWidth(440))  # as the scroll area around it does in Slicer
    screenshot(parent, "panel")
    assert panel.uiWidget.minimumSizeHint.width() <= 380
