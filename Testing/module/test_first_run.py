"""Before anything was set up or trained: three sentences, and sample data."""

import fake_panel as fake
import numpy as np
import pytest
import qt
import slicer


@pytest.fixture(autouse=True)
def home(scene, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))  # whose jobs lie in "jobs"


def test_sample_data_fills_the_panel(panel, make_volume, make_segmentation):
    voxels = np.arange(480, dtype=np.int16).reshape(6, 8, 10)
    make_segmentation("CT-seg", make_volume("CT", voxels), {"femur": voxels > 300})
    assert panel.ui.firstRunFrame.visible
    panel.ui.sampleButton.click()
    assert [row.name for row in panel.rows()] == ["Phantom 1", "Phantom 2", "Phantom 3"], "and nothing of the user's"
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 5, "one more to apply the model to"
    assert panel.data.problem() == "" and "liver" in [item.name for item in panel.classes()]
    assert not panel.ui.firstRunFrame.visible and not panel.ui.dataButton.collapsed
    assert "3 phantoms" in panel.data.ui.messageLabel.text


def test_closed_it_stays_away(panel, medsegtrainer):
    panel.ui.dismissButton.click()
    assert not panel.ui.firstRunFrame.visible
    panel.refresh()
    assert not panel.ui.firstRunFrame.visible
    assert slicer.util.settingsValue("MedSegTrainer/FirstRunClosed", False, converter=slicer.util.toBool) is True


def test_it_is_not_there_where_a_training_was_begun(panel, make_job):
    make_job(events=fake.training(), state="finished")
    panel.refresh()
    assert not panel.ui.firstRunFrame.visible


def test_it_is_not_there_while_a_scene_is_closed(panel):
    panel.setParameterNode(None)
    assert not panel.ui.firstRunFrame.visible
