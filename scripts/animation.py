"""Plays a session at the panel and writes it as the animation at the top of the README.

    python scripts/animation.py [--minutes 4] [--quick] [--output FILE]

The panel is the real one, over the stand-ins of ``Testing/slicer_standin`` with Qt's own widgets; the training, its
curves and the result are PyTorch's, of a small network, on the phantoms of the sample data. The slices beside it are
drawn from the session's volumes and segmentations: the stand-ins have no slice views. ``--quick`` takes a network too
small to be good and moments of training, to see that it works.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import environment

if __name__ == "__main__":
    environment.enter("slicer")

import frames

TESTING = environment.ROOT / "Testing"
MODULE = environment.ROOT / "MedSegTrainer" / "MedSegTrainer.py"
OUTPUT = environment.ROOT / "Resources" / "Screenshots" / "panel.gif"
PANEL_WIDTH = 400  # pixels
TRAINING_FRAMES = 14
SHORT, LONG, LAST = 450, 2600, 4500  # milliseconds a frame is shown
MOST_SECONDS = 600
SETTINGS = {  # coarse, small, and with short epochs: the curves are seen to grow on two cores, too
    "network.type": "UNet3D",
    "network.base_channels": "8",
    "data.spacing": "8, 8, 8",
    "data.patch_size": "24, 32, 40",
    "data.batch_size": "2",
    "data.samples_per_volume": "4",
    "data.num_workers": "0",
    "trainer.epochs": "400",
    "trainer.validation_interval": "2",
    "optimizer.learning_rate": "0.01",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0, help="of training (default: 4)")
    parser.add_argument("--quick", action="store_true", help="a tiny network, trained for moments")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the GIF to write")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        widget = start(Path(folder))
        recording = Recording(widget)
        try:
            play(recording, 0.1 if options.quick else options.minutes, options.quick)
        finally:
            stop(widget)
    frames.write_animation(recording.scenes, options.output)
    print(f"{options.output}: {len(recording.scenes)} frames, {options.output.stat().st_size / 1e6:.2f} MB")
    return 0


def start(folder: Path) -> Any:
    """The module's widget over the stand-ins, with settings and jobs of its own in ``folder``."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path += [str(environment.ROOT), str(MODULE.parent), str(TESTING / "module")]
    spec = importlib.util.spec_from_file_location("slicer_standin", TESTING / "slicer_standin" / "__init__.py")
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["slicer_standin"] = package
    spec.loader.exec_module(package)
    boot = importlib.import_module("slicer_standin.boot")
    boot.boot()
    importlib.import_module("slicer_standin.qt_settings").use_settings_file(folder / "Slicer.ini")
    module = importlib.import_module("slicer_standin.module_loading").load_module(MODULE)
    import played_session  # type: ignore[import-not-found]
    import qt

    qt.QSettings().setValue("MedSegTrainer/Folder", str(folder / "home"))
    played_session.leave_tested(folder / "home")
    parent = module.createNewWidgetRepresentation()
    parent.show()
    parent.self().enter()
    return parent.self()


def stop(widget: Any) -> None:
    """No training outlives the script."""
    job = widget.panel.train.job
    if job.watched is not None and job.watched.working:
        job.ui.stopNowButton.click()
        wait_for(lambda: not job.watched.working)
    widget.exit()
    widget.cleanup()


def wait_for(condition: Callable[[], Any], milliseconds: int = 1000 * MOST_SECONDS) -> None:
    """Lets the application work until a condition holds. Raises TimeoutError."""
    import slicer

    end = time.monotonic() + milliseconds / 1000
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Waited {milliseconds / 1000:.0f} s in vain.")
        slicer.app.processEvents()
        time.sleep(0.01)


def wait_until(moment: float) -> None:
    """Lets the application work until a time of the monotonic clock."""
    wait_for(lambda: time.monotonic() > moment)


class Recording:
    """Frames of the session: what the panel shows, and slices of a volume with segments."""

    def __init__(self, widget: Any) -> None:
        import played_session

        self.widget, self.panel = widget, widget.panel
        self.session = played_session.Session(widget.panel, wait_for)
        self.scenes: list[frames.Scene] = []

    def take(self, caption: str, volume: Any, overlays: Sequence[Any], milliseconds: int, place: float = 0.0) -> None:
        """place: which part of the panel is seen, where it is too high; 0 its top, 1 its end."""
        import slicer

        scene = frames.Scene(
            caption=caption,
            title=volume.GetName(),
            voxels=slicer.util.arrayFromVolume(volume).copy(),
            ijk_to_ras=_ijk_to_ras(volume),
            overlays=tuple(overlays),
            panel=self._grab(),
            place=place,
            milliseconds=milliseconds,
        )
        self.scenes.append(scene)

    def _grab(self) -> Any:
        import slicer
        from PIL import Image

        parent = self.widget.parent
        parent.setFixedWidth(PANEL_WIDTH)
        for _again in range(3):  # texts that wrap change the height that others need
            slicer.app.processEvents()
            needed = parent.heightForWidth(PANEL_WIDTH)
            parent.setFixedHeight(max(needed, parent.sizeHint.height(), frames.HEIGHT))  # Slicer's dock is high
        slicer.app.processEvents()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "panel.png"
            parent.grab().save(str(path))
            return Image.open(path).convert("RGB")


def play(recording: Recording, minutes: float, is_quick: bool) -> None:
    """Segments in the scene, a training, its curves, and what the model makes of the volume without segments."""
    from MedSegTrainerUI.samples.sample_data import load_phantoms

    volumes = load_phantoms()
    add(recording, volumes)
    watch = train(recording, volumes, minutes, is_quick)
    recording.panel.train.job.ui.stopKeepButton.click()
    wait_for(lambda: not watch.working)
    apply(recording, volumes[-1])


def add(recording: Recording, volumes: Sequence[Any]) -> None:
    session, data = recording.session, recording.panel.data
    session.open("data")
    recording.take("Four volumes in the scene, three of them segmented", volumes[0], drawn_on(volumes[0]), LONG)
    data.ui.addAllButton.click()
    wait_for(lambda: data.ready)
    session.open("data")
    recording.take("1  Add all from scene", volumes[0], drawn_on(volumes[0]), LONG)


def train(recording: Recording, volumes: Sequence[Any], minutes: float, is_quick: bool) -> Any:
    """Starts, and takes frames while the curves grow; the JobWatch."""
    import played_session

    session, section = recording.session, recording.panel.train
    session.open("train")
    section.ui.quickRadio.click()
    session.set_advanced(played_session.SMALL if is_quick else SETTINGS)
    recording.take("2  Start training", volumes[0], drawn_on(volumes[0]), LONG)
    watch = session.start_training()
    wait_for(lambda: len(watch.validations) > 1 and section.job.preview.case)
    previewed_volume = next(one for one in volumes if one.GetName() == section.job.preview.case)
    began, pause = time.monotonic(), 60 * minutes / TRAINING_FRAMES
    for number in range(1, TRAINING_FRAMES + 1):
        wait_until(began + number * pause)
        caption = "It learns: Dice and loss, the prediction (outline) over what was drawn"
        is_last = number == TRAINING_FRAMES
        overlays = [*drawn_on(previewed_volume), *predicted(watch.folder, previewed_volume)]
        recording.take(caption, previewed_volume, overlays, LONG if is_last else SHORT, place=0.5)
    return watch


def apply(recording: Recording, volume: Any) -> None:
    section = recording.panel.apply
    recording.session.open("apply")
    section.ui.volumesSelector.setCheckState(volume, _checked())
    recording.take("3  Apply the model to the volume without segments", volume, [], LONG)
    result = recording.session.apply_to(volume)
    recording.session.open("apply")
    recording.take("Done: segments with your names and colours", volume, [segments_of(result, volume)], LAST)


def drawn_on(volume: Any) -> list[Any]:
    """What the user has drawn on a volume."""
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    drawn = [one for one in nodes if one.GetNodeReference(role) is volume and not one.GetHideFromEditors()]
    return [segments_of(one, volume) for one in drawn[:1]]


def segments_of(segmentation: Any, volume: Any) -> Any:
    import slicer

    content, masks = segmentation.GetSegmentation(), {}
    for identifier in content.GetSegmentIDs():
        color = tuple(round(255 * part) for part in content.GetSegment(identifier).GetColor())
        masks[color] = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume) > 0
    return frames.Overlay(masks=masks)


def predicted(folder: Any, volume: Any) -> list[Any]:
    """The newest prediction of a job, on the voxels of the volume: it lies on the grid that the network sees."""
    import numpy as np
    import slicer
    from MedSegTrainerUI.jobs.job_list import job_classes
    from MedSegTrainerUI.scene.label_files import read_layers

    label_map, *_ = read_layers(folder.previews / "latest.seg.nrrd")
    shape = slicer.util.arrayFromVolume(volume).shape
    voxels = np.indices(shape).reshape(3, -1)[::-1]
    to_labels = np.linalg.inv(label_map.ijk_to_ras) @ _ijk_to_ras(volume)
    indices = np.round(to_labels[:3, :3] @ voxels + to_labels[:3, 3:]).astype(int)[::-1]
    is_inside = np.all((indices >= 0) & (indices < np.array(label_map.array.shape)[:, None]), axis=0)
    labels = np.zeros(voxels.shape[1], int)
    labels[is_inside] = label_map.array[tuple(indices[:, is_inside])]
    masks = {tuple(item["color"]): (labels == item["value"]).reshape(shape) for item in job_classes(folder)}
    return [frames.Overlay(masks=masks, outlined=True)]


def _ijk_to_ras(volume: Any) -> Any:
    import numpy as np
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def _checked() -> Any:
    import qt

    return qt.Qt.Checked


if __name__ == "__main__":
    raise SystemExit(main())
