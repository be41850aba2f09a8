import json
import os
import socket
import sys
import time
from dataclasses import asdict

import numpy as np
import pytest
import slicer
from MedSegTrainerUI.apply.run import ApplyTask, find_runs, remove_finished, start_run
from MedSegTrainerUI.jobs.job_list import JobList
from MedSegTrainerUI.jobs.process import start_detached
from MedSegTrainerUI.jobs.stop_request import GRACE_SECONDS
from MedSegTrainerUI.models.model_card import read_card
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.export_labels import label_map
from MedSegTrainerUI.scene.label_files import read_layers
from MedSegTrainerUI.scene.result_origin import origin_of, volumes_of
from MedSegTrainerUI.scene.segment_classes import find_classes
from MedSegTrainerUI.scene.volumes import array_image, write_image

from MedSegTrainerLib.config import TrainConfig
from MedSegTrainerLib.errors import DataError, JobError
from MedSegTrainerLib.events import EventLog, Failed, Finished, Warned
from MedSegTrainerLib.job_status import Status
from MedSegTrainerLib.processes import process_exists


class Panel:
    """Jobs in a folder, and an environment that starts nothing, or cannot."""

    ready, problem = True, ""

    def __init__(self, root):
        self.jobs, self.environment = JobList(root), self
        self.device = "cuda:1"
        self.started, self.error = [], None

    def start(self, folder):
        if self.error:
            raise self.error
        self.started.append(folder)
        write_status(folder, state="running", stage="apply")


def write_status(folder, **fields):
    now = {"kind": "apply", "host": socket.gethostname(), "pid": os.getpid(), "heartbeat": time.time() + 1}
    folder.status_file.write_text(json.dumps(asdict(Status(**{**now, **fields}))))


def segment(folder, case):
    """Plays the network: above 100 is class 1, above 200 class 2."""
    config = folder.read_document()["config"]
    stored = read_layers(config["cases"][case][0])[0]
    labels = (stored.array > 100).astype(np.uint8) + (stored.array > 200)
    path = folder.path / "results" / f"{case}.seg.nrrd"
    write_image(array_image(labels), stored.ijk_to_ras, path)
    return labels


def finish(folder, *events):
    log = EventLog(folder.events_file)
    for event in events or (Finished(message="done", result=""),):
        log(event)
    write_status(folder, state="finished")


@pytest.fixture
def panel(tmp_path):
    return Panel(tmp_path / "jobs")


@pytest.fixture
def pixels():
    array = np.zeros((6, 8, 10), np.int16)
    array[1:5, 2:7, 3:9] = 150
    array[2:4, 3:5, 4:6] = 250
    return array


@pytest.fixture
def card(make_model):
    return read_card(make_model())


def labels_of(segmentation, volume):
    classes = find_classes([CaseRow(name="a", volumes=(volume,), segmentation=segmentation)], {})
    return label_map(segmentation, volume, classes)


def settled(run):
    run.poll()
    run.poll()
    return run


def test_round_trip_under_a_transform_and_another_name(panel, card, make_volume, pixels):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    slicer.util.updateTransformMatrixFromArray(
        transform, np.array([[0, -1, 0, 9], [1, 0, 0, 3], [0, 0, 1, -4], [0, 0, 0, 1]])
    )
    volume = make_volume("CT 04", pixels, transform=transform)
    before = slicer.mrmlScene.GetNumberOfNodes()
    options = {"tta": True, "fill_holes": True, "minimum_size_mm3": 5}
    run = start_run(panel, ApplyTask(card=card, cases=((volume,),), options=options))
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    config = run.folder.read_document()["config"]
    assert config["model"] == str(card.path) and config["tta"] and config["fill_holes"]
    assert config["device"] == "cuda:1"
    assert config["minimum_size_mm3"] == 5 and not config["largest_component"]
    assert run.working and run.waiting() == []
    expected = segment(run.folder, "CT-04")
    volume.SetName("patient")
    node = run.import_result("CT-04")
    assert (labels_of(node, volume) == expected).all() and expected.max() == 2
    assert node.GetParentTransformNode() is transform and node.GetName() == "patient segmentation"
    content = node.GetSegmentation()
    assert [content.GetNthSegment(i).GetName() for i in range(2)] == ["liver", "tumor"]
    assert np.allclose(content.GetNthSegment(0).GetColor(), np.array([221, 130, 101]) / 255, atol=1e-6)
    finish(run.folder)
    assert not settled(run).working and run.waiting() == []
    assert run.end_text() == ("Segmented: CT 04.", "note")
    assert not (run.folder.path / "data").exists()


def test_several_volumes_of_one_name_do_not_meet(panel, card, make_volume, pixels):
    volumes = [make_volume("CT", pixels), make_volume("ct", pixels[::-1])]
    run = start_run(panel, ApplyTask(card=card, cases=tuple((volume,) for volume in volumes)))
    cases = list(run.record["cases"])
    assert cases == ["CT", "ct-2"]
    for case, volume in zip(cases, volumes, strict=True):
        expected = segment(run.folder, case)
        assert (labels_of(run.import_result(case), volume) == expected).all()


def test_channels_lie_on_the_voxels_of_the_first(panel, card, make_volume, pixels):
    first, second = make_volume("T1", pixels), make_volume("T2", pixels[:, ::2], oblique=False)
    run = start_run(panel, ApplyTask(card=card, cases=((first, second),)))
    files = run.folder.read_document()["config"]["cases"]["T1"]
    assert len(files) == 2
    one, two = (read_layers(file)[0] for file in files)
    assert one.array.shape == two.array.shape == pixels.shape and np.allclose(one.ijk_to_ras, two.ijk_to_ras)


def test_a_result_tells_where_it_came_from(panel, card, make_volume, pixels):
    first, second = make_volume("T1", pixels), make_volume("T2", pixels)
    run = start_run(panel, ApplyTask(card=card, cases=((first, second),)))
    segment(run.folder, "T1")
    began = time.time()
    node = run.import_result("T1")
    origin = origin_of(node)
    assert (origin.model, origin.job, origin.case) == (str(card.path), run.folder.path.name, "T1")
    assert origin.prediction == str(run.label_file("T1")) and began <= origin.time <= time.time()
    assert volumes_of(node) == (first, second)
    slicer.mrmlScene.RemoveNode(second)
    assert volumes_of(node) == (), "of a case without one of its channels nothing can be learned"


def test_a_result_comes_also_where_a_further_channel_is_gone(panel, card, make_volume, pixels):
    first, second = make_volume("T1", pixels), make_volume("T2", pixels + 1)
    run = start_run(panel, ApplyTask(card=card, cases=((first, second),)))
    segment(run.folder, "T1")
    slicer.mrmlScene.RemoveNode(second)
    assert volumes_of(run.import_result("T1")) == ()


def test_an_existing_segmentation_keeps_its_other_segments(panel, card, make_volume, make_segmentation, pixels):
    volume = make_volume("CT", pixels)
    mine = make_segmentation("mine", volume, {"liver": pixels * 0 + 1, "bone": pixels > 240})
    run = start_run(panel, ApplyTask(card=card, cases=((volume,),), output=mine))
    expected = segment(run.folder, "CT")
    assert run.import_result("CT") is mine
    content = mine.GetSegmentation()
    names = [content.GetNthSegment(i).GetName() for i in range(content.GetNumberOfSegments())]
    assert sorted(names) == ["bone", "liver", "tumor"]
    liver = slicer.util.arrayFromSegmentBinaryLabelmap(mine, content.GetSegmentIdBySegmentName("liver"), volume)
    assert (liver == (expected == 1)).all()


class TestAnotherSession:
    def test_a_run_is_found_by_its_folder_and_its_volume_by_its_voxels(self, panel, card, make_volume, pixels):
        volume = make_volume("CT", pixels)
        started = start_run(panel, ApplyTask(card=card, cases=((volume,),)))
        segment(started.folder, "CT")
        finish(started.folder)
        slicer.mrmlScene.Clear()
        make_volume("CT", pixels + 1)  # another patient under the same name and ID, with the same grid
        (run,) = find_runs(panel.jobs)
        assert run.waiting() == ["CT"] and not run.working
        with pytest.raises(DataError, match=r"The volume CT is not in the scene\. The result is kept"):
            run.import_result("CT")
        again = make_volume("renamed", pixels)
        node = run.import_result("CT")
        assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is again
        assert find_runs(panel.jobs) == []

    def test_one_that_works_is_found_and_other_jobs_are_not(self, panel, card, make_volume, pixels):
        panel.jobs.folder("training").create(TrainConfig())
        broken = panel.jobs.folder("broken")
        broken.create(TrainConfig())
        (broken.path / "scene.json").write_text('{"cases": {"a": {}}}')
        run = start_run(panel, ApplyTask(card=card, cases=((make_volume("CT", pixels),),)))
        (found,) = find_runs(panel.jobs)
        assert found.folder == run.folder and found.working and not found.same_scene


def test_a_volume_that_has_changed_does_not_get_the_result(panel, card, make_volume, pixels):
    volume = make_volume("CT", pixels)
    run = start_run(panel, ApplyTask(card=card, cases=((volume,),)))
    segment(run.folder, "CT")
    volume.SetSpacing(1, 1, 1)
    with pytest.raises(DataError, match="CT has other voxels than when the model was applied"):
        run.import_result("CT")
    assert run.waiting() == ["CT"] and list(run.failed) == ["CT"]


def test_a_sequence_that_shows_another_frame_does_not_get_the_result_of_the_first(panel, card, make_volume, pixels):
    volume = make_volume("cine", pixels)
    run = start_run(panel, ApplyTask(card=card, cases=((volume,),)))
    segment(run.folder, "cine")
    slicer.util.updateVolumeFromArray(volume, np.roll(pixels, 1, axis=2))  # browsed to the next frame
    with pytest.raises(DataError, match="show that frame again and import the result"):
        run.import_result("cine")
    slicer.util.updateVolumeFromArray(volume, pixels.copy())
    assert run.import_result("cine").IsA("vtkMRMLSegmentationNode") and run.waiting() == []


class TestNotStarted:
    def test_a_start_that_fails_leaves_nothing(self, panel, card, make_volume, pixels):
        panel.error = JobError("no Python")
        with pytest.raises(JobError, match="no Python"):
            start_run(panel, ApplyTask(card=card, cases=((make_volume("CT", pixels),),)))
        assert list(panel.jobs.root.iterdir()) == []

    def test_a_volume_without_voxels_is_named(self, panel, card, scene):
        empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        with pytest.raises(DataError, match="The volume empty has no image data"):
            start_run(panel, ApplyTask(card=card, cases=((empty,),)))
        assert not panel.jobs.root.exists() or list(panel.jobs.root.iterdir()) == []


class TestEnd:
    @pytest.fixture
    def run(self, panel, card, make_volume, pixels):
        return start_run(panel, ApplyTask(card=card, cases=((make_volume("CT", pixels),),)))

    def test_a_failure_is_told_as_the_job_tells_it(self, run):
        finish(run.folder, Failed(message="The disk is full.", error="StorageError", exit_code=1))
        assert settled(run).end_text() == ("The disk is full.", "error")

    def test_warnings_are_told(self, run):
        finish(run.folder, Warned(message="No GPU: slow."), Finished(message="", result=""))
        assert settled(run).end_text() == ("Segmented: CT. No GPU: slow.", "warning")

    def test_a_process_that_vanished(self, run):
        write_status(run.folder, state="running", heartbeat=time.time() - 999)
        run.watch._starting_since = None
        text, severity = settled(run).end_text()
        assert "ended without a word" in text and severity == "error"

    def test_a_request_to_stop_that_was_taken_away_is_repeated(self, run):
        run.cancel()
        run.folder.stop_file.unlink()
        run.poll()
        assert run.folder.stop_requested() == "now" and run.cancelled
        assert run.end_text()[0] == "Cancelled. 0 of 1 volumes were segmented."

    def test_a_process_in_the_midst_of_a_volume_is_ended_after_a_while(self, run, wait_for, tmp_path):
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        child = start_detached(command, cwd=tmp_path, environment=os.environ, log=tmp_path / "log.txt")
        write_status(run.folder, state="running", pid=child.pid)
        run.cancel()
        run.poll()
        assert run.working and child.poll() is None, "it has time to stop by itself"
        run._stop._since -= GRACE_SECONDS + 1
        wait_for(lambda: (run.poll(), not run.working)[1], 15000)
        assert not process_exists(child.pid) and run.end_text()[1] == "note"


def test_of_old_results_the_copies_are_kept_of_the_newest_and_those_not_imported_all(panel, card, make_volume, pixels):
    volume = make_volume("CT", pixels)
    runs = []
    for index in range(8):
        volume.SetName(f"CT{index}")
        run = start_run(panel, ApplyTask(card=card, cases=((volume,),)))
        segment(run.folder, f"CT{index}")
        if index != 0:
            run.import_result(f"CT{index}")
        finish(run.folder)
        os.utime(run.folder.job_file, (1000 + index,) * 2)
        runs.append(run)
    remove_finished(panel.jobs)
    assert [run.folder.events_file.exists() for run in runs] == [True, False, False, True, True, True, True, True]
    assert all(run.label_file(f"CT{index}").exists() for index, run in enumerate(runs))
