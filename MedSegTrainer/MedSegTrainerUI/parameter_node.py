"""What the panel remembers in the scene, as values of the parameter node."""

# No "from __future__ import annotations": the wrapper reads the type hints when it decorates the class.

from enum import Enum
from typing import TYPE_CHECKING

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import parameterNodeWrapper

from MedSegTrainerUI.slicer_types import Node


class Duration(Enum):
    """How long to train, in minutes; 0: until the user stops it."""

    QUICK = 5
    BALANCED = 20
    THOROUGH = 60
    UNTIL_STOP = 0


@parameterNodeWrapper
class Parameters:
    """The rows of the data section are on the same node: see ``case_rows.py``.

    configuration: JSON object of settings that differ from their defaults, such as {"loss.loss_type": "dice"}.
    classNames: JSON object, the class that a segment name belongs to; '' is a segment that is left out.
    overlap: of segments that overlap each is learned whole ("masks"), the later class wins ("order"), or they are
    refused ("refuse").
    startModel: the model that a training begins with, '' for none. startRename: JSON object, a class to the classes of
    that model that it was, by other names. startAdapt: what of the model does not fit is left.
    uncertainty: whether results get a map of how unsure they are. manySource: what many images are, those of a folder
    ("folder") or series of the DICOM database ("dicom"); manyFolder, manyOutput: paths, '' for none; manyFormat: the
    type of the files.
    checkJob, trainingJob: names in the folder of jobs: the newest check of the data, and the training that is watched.
    """

    classNames: str = "{}"
    overlap: str = "masks"
    checkJob: str = ""
    duration: Duration = Duration.BALANCED
    configuration: str = "{}"
    startModel: str = ""
    startRename: str = "{}"
    startAdapt: bool = False
    trainingJob: str = ""
    showPreview: bool = True
    model: str = ""
    tta: bool = False
    largestComponent: bool = False
    fillHoles: bool = False
    minimumSize: float = 0.0
    uncertainty: bool = False
    manySource: str = "folder"
    manyFolder: str = ""
    manyOutput: str = ""
    manyFormat: str = "seg.nrrd"
    outputSegmentation: vtkMRMLSegmentationNode
    evaluatePrediction: vtkMRMLSegmentationNode
    evaluateReference: vtkMRMLSegmentationNode
    evaluateVolume: vtkMRMLScalarVolumeNode

    if TYPE_CHECKING:  # added by the wrapper

        def __init__(self, parameterNode: Node) -> None:
            self.parameterNode = parameterNode
