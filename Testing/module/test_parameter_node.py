import pytest
import slicer
from MedSegTrainerUI.parameter_node import Duration

from MedSegTrainer import MedSegTrainerLogic

pytestmark = pytest.mark.usefixtures("scene", "medsegtrainer")


def test_defaults():
    parameters = MedSegTrainerLogic().getParameterNode()
    assert parameters.duration == Duration.BALANCED and Duration.BALANCED.value == 20
    assert parameters.classNames == "{}" and parameters.configuration == "{}"
    assert parameters.showPreview and not parameters.tta
    assert parameters.outputSegmentation is None


def test_they_are_kept_on_one_node_of_the_scene():
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    parameters = MedSegTrainerLogic().getParameterNode()
    parameters.duration = Duration.UNTIL_STOP
    parameters.outputSegmentation = segmentation
    again = MedSegTrainerLogic().getParameterNode()
    assert again.duration == Duration.UNTIL_STOP and again.outputSegmentation is segmentation
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode") == 1
