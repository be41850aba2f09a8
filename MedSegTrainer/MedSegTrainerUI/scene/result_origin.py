"""Where a result of a model came from: attributes of its segmentation node, and a tag on each of its segments.

They are saved with the scene. What is remembered of the segments are their IDs, so that they may be renamed; the tag
goes with a segment that is moved into another segmentation, where nobody knows any more what the model had drawn.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import slicer
import vtk

from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode, VtkObject

PREFIX = "MedSegTrainer."
TAG = PREFIX + "Predicted"
CHANNEL = PREFIX + "channel"
MOST_REMEMBERED = 1000  # segmentations
_moved: OrderedDict[int, bool] = OrderedDict()  # by modification time, which VTK gives to one object only
Place = tuple[int, int]  # of a segment in the copy: the layer, and the number there


@dataclass(frozen=True, kw_only=True)
class Origin:
    """model: its path. job: name of the folder that made it. case: its name there. prediction: the copy of the label
    map that was imported, "" where it is not known. time: seconds since 1970."""

    model: str
    job: str
    case: str
    prediction: str
    time: float = 0.0


def remember_origin(
    segmentation: SegmentationNode,
    origin: Origin,
    places: Mapping[str, Place | None],
    checksum: str,
    channels: Sequence[VolumeNode] = (),
) -> None:
    """places: as ``places_of`` gives them. checksum: of the copy. channels: the further volumes of the case, behind the
    one that the segmentation lies on, None for one that is gone. What was accepted of an earlier result in the node is
    accepted no more."""
    texts = {
        "model": origin.model, "job": origin.job, "case": origin.case, "prediction": origin.prediction,
        "time": repr(origin.time or time.time()), "checksum": checksum, "segments": json.dumps(places), "accepted": "",
        "channels": str(len(channels)),
    }  # fmt: skip
    with slicer.util.NodeModify(segmentation):
        for name, text in texts.items():
            segmentation.SetAttribute(PREFIX + name, text)
        for number, volume in enumerate(channels, start=1):
            segmentation.SetNodeReferenceID(f"{CHANNEL}{number}", volume.GetID() if volume is not None else None)
        content = segmentation.GetSegmentation()
        for segment_id in (one for one, place in places.items() if place is not None):
            content.GetSegment(segment_id).SetTag(TAG, "1")


def is_result(segmentation: SegmentationNode) -> bool:
    """Whether a model made it, or a segment in it."""
    return segmentation is not None and origin_of(segmentation) is not None


def origin_of(segmentation: SegmentationNode) -> Origin | None:
    """None where no model made it."""
    texts = {name: segmentation.GetAttribute(PREFIX + name) for name in ("model", "job", "case", "prediction")}
    if texts["prediction"]:
        made = segmentation.GetAttribute(PREFIX + "time") or "0"
        return Origin(time=float(made), **{name: text or "" for name, text in texts.items()})
    content = segmentation.GetSegmentation()
    if content is None:
        return None
    return Origin(model="", job="", case="", prediction="") if _holds_moved(content) else None


def is_accepted(segmentation: SegmentationNode) -> bool:
    """Whether somebody has said that he looked at all of it."""
    return bool(segmentation.GetAttribute(PREFIX + "accepted"))


def accept(segmentation: SegmentationNode, accepted: bool) -> None:
    segmentation.SetAttribute(PREFIX + "accepted", "1" if accepted else "")


def places_of(segmentation: SegmentationNode) -> Mapping[str, Place | None]:
    """Where in the copy the segments are that were there when it was imported, by their IDs; None for what was there
    before."""
    try:
        places = json.loads(segmentation.GetAttribute(PREFIX + "segments") or "{}")
        return {str(one): None if place is None else (int(place[0]), int(place[1])) for one, place in places.items()}
    except (ValueError, TypeError, AttributeError, IndexError, KeyError):
        return {}


def copy_checksum(segmentation: SegmentationNode) -> str:
    """That of the file that was imported."""
    return str(segmentation.GetAttribute(PREFIX + "checksum") or "")


def volumes_of(segmentation: SegmentationNode) -> tuple[VolumeNode, ...]:
    """The volumes of the case, the first is the one it lies on; empty where that, or any other, is gone."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    volumes = [segmentation.GetNodeReference(role), *_channels(segmentation)]
    return () if None in volumes else tuple(volumes)


def results_in(nodes: Sequence[SegmentationNode]) -> list[SegmentationNode]:
    """Those that a model made and that can be compared, the newest last."""
    made = [(origin.time, node) for node in nodes if (origin := origin_of(node)) is not None and origin.prediction]
    return [node for _time, node in sorted(made, key=lambda one: one[0])]


def _holds_moved(content: VtkObject) -> bool:
    """Whether a segment came here from a result: looked at again only where segments came or went."""
    key = content.GetMTime()
    if key not in _moved:
        _moved[key] = any(content.GetSegment(one).GetTag(TAG, vtk.reference("")) for one in content.GetSegmentIDs())
        if len(_moved) > MOST_REMEMBERED:
            _moved.popitem(last=False)
    return _moved[key]


def _channels(segmentation: SegmentationNode) -> list[VolumeNode]:
    """None in place of those that are gone: references to them went with them, so that their number is remembered."""
    count = int(segmentation.GetAttribute(PREFIX + "channels") or 0)
    return [segmentation.GetNodeReference(f"{CHANNEL}{number}") for number in range(1, count + 1)]
