import numpy as np
import pytest
import slicer
from MedSegTrainerUI.shared.segment_editor import open_segment_editor


def test_without_a_window_there_is_no_editor(make_volume, make_segmentation):
    array = np.arange(480, dtype=np.int16).reshape(6, 8, 10)
    volume = make_volume("CT_04", array)
    segmentation = make_segmentation("CT_04 segmentation", volume, {"liver": array > 240})
    if slicer.util.mainWindow() is not None:
        open_segment_editor(segmentation, volume)
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        assert editor.segmentationNode() is segmentation and editor.sourceVolumeNode() is volume
    else:
        with pytest.raises(RuntimeError, match="main window"):
            open_segment_editor(segmentation, volume)
