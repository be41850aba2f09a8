"""The job below Start on a panel of fakes: progress, stop, resume, curves, prediction, list and log."""

import json
import os
import shutil
import statistics
import time

import fake_panel as fake
import pytest
import slicer
from tooltips import tooltip

from MedSegTrainerLib.events import Advised, Best, Epoch, EventLog, Finished, Validated, Warned

panel, train, job, cases = fake.panel, fake.train, fake.job, fake.cases


def test_progress_best_dice_and_charts_follow_the_job(job, make_job):
    folder = make_job(events=fake.training(), state="running")
    job.follow(folder)
    assert job.ui.progressLabel.text == "epoch 3, 8 min left"
    assert job.ui.progressBar.value == 500 and job.ui.progressBar.maximum == 1000
    assert job.ui.bestLabel.text == "best Dice 0.73 (liver 0.78, tumor 0.68)"
    assert job.charts.nodes["losses"].GetNumberOfRows() == 3
    log = EventLog(folder.events_file)
    log(Epoch(epoch=4, epochs=6, step=40, train_loss=0.2, learning_rate=1e-3, gradient_norm=1.0, seconds=9.0))
    job.onTimer()
    assert job.ui.progressLabel.text == "epoch 4, 8 min left"
    assert job.charts.nodes["losses"].GetNumberOfRows() == 4


def test_what_a_training_started_from_is_compared_with_its_best(panel, job, make_job, screenshot):
    folder = make_job(start="/models/abdomen/model", state="running")
    log = EventLog(folder.events_file)
    job.follow(folder)
    label = job.ui.startedLabel
    assert label.visible and label.text == "started from abdomen" and tooltip(label) == "/models/abdomen/model"
    log(Validated(epoch=0, minutes=0.1, mean_dice=0.5, dice={"liver": 0.5, "tumor": None}, per_case={}, metrics={}))
    job.onTimer()
    assert label.text == "started from abdomen: 0.50 -> 0.50" and job.charts.nodes["validations"].GetNumberOfRows() == 1
    log(Best(epoch=0, mean_dice=0.5))
    for event in fake.training():
        log(event)
    job.onTimer()
    assert label.text == "started from abdomen: 0.50 -> 0.73"
    assert job.ui.progressLabel.text == "epoch 3, 8 min left"
    screenshot(panel.train.uiWidget, "train-started-from")
    job.follow(make_job("from-nothing", events=fake.training(), state="running"))
    assert not label.visible


def test_a_chart_that_is_enlarged_has_a_way_back(panel, job, make_job):
    job.follow(make_job(events=fake.training(), state="running"))
    label, chart = job.ui.lossLabel, job.charts.nodes["loss"]
    assert "Loss" in label.text and "Show all" not in label.text
    chart.SetXAxisRange(1, 2)
    job.onTimer()
    assert "Show all" in label.text and "Show all" not in job.ui.diceLabel.text
    label.linkActivated("loss")
    assert chart.GetXAxisRange() == (0, 3) and "Show all" not in label.text
    job.charts.nodes["dice"].SetYAxisRange(0.6, 0.8)
    job.onTimer()
    assert "Show all" in job.ui.diceLabel.text and "liver" in job.ui.diceLabel.text
    job.follow(make_job("another", state="running"))
    panel.setParameterNode(None)
    job.onTimer()
    assert "Show all" not in job.ui.diceLabel.text


def test_a_training_without_end_shows_no_time_left(job, make_job):
    job.follow(make_job(events=fake.training(), budget="1000h", state="running"))
    assert job.ui.progressLabel.text == "epoch 3, until you stop it" and job.ui.progressBar.maximum == 0


def test_the_stop_buttons_leave_a_control_file(job, make_job):
    folder = make_job(events=fake.training(), state="running")
    job.follow(folder)
    job.ui.stopKeepButton.click()
    assert folder.stop_requested() == "keep-best" and not job.ui.stopKeepButton.enabled
    job.ui.stopNowButton.click()
    assert folder.stop_requested() == "now"


def test_a_dead_job_is_told_in_words_and_resumed(panel, job, make_job):
    folder = make_job(events=fake.training(), state="running", pid=2**22 + 1)
    folder.checkpoint_file.parent.mkdir()
    folder.checkpoint_file.touch()
    job.follow(folder)
    assert (
        "broke off without a word" in job.ui.endingLabel.text
        and "What it had learned is kept" in job.ui.endingLabel.text
    )
    assert job.ui.resumeButton.visible and not job.ui.stopNowButton.visible
    assert job.ui.progressLabel.text == "Broken off, after 3 epochs"
    job.ui.resumeButton.click()
    assert panel.environment.started == [folder] and job.watched.state == "starting"
    assert not job.ui.endingLabel.visible and len(job.watched.epochs) == 3


def test_a_training_whose_process_dies_at_once_is_told_and_can_be_started_again(panel, train, job, cases, wait_for):
    train.ui.startButton.click()
    assert job.ui.progressLabel.text.startswith("Starting") and not train.ui.startButton.enabled
    job.watched.folder.log_file.write_text("ImportError: libcuda.so: cannot open shared object file\n")
    train.onTimer()
    assert job.ui.endingLabel.text.endswith("Last words: ImportError: libcuda.so: cannot open shared object file")
    assert job.ui.endingLabel.visible and train.ui.startButton.enabled and job.ui.resumeButton.visible


def test_a_failed_job_says_why(job, make_job):
    job.follow(make_job(events=fake.training(), state="failed", message="The loss is not a number."))
    assert job.ui.endingLabel.text == "The loss is not a number." and job.ui.resumeButton.visible


def test_a_job_that_ends_offers_its_model(panel, job, make_job):
    folder = make_job(events=fake.training(), state="running")
    folder.model.mkdir()
    job.follow(folder)
    EventLog(folder.events_file)(Finished(message="Trained.", result="r"))
    status = json.loads(folder.status_file.read_text())
    folder.status_file.write_text(json.dumps({**status, "state": "finished"}))
    job.onTimer()
    assert panel.parameters.model == str(folder.path)
    assert job.ui.progressLabel.text == "Done, after 3 epochs" and not job.ui.resumeButton.visible
    assert panel.train.ui.startButton.enabled


def test_advice_is_applied_to_the_next_start(panel, job, make_job):
    advised = [
        Advised(epoch=2, finding="unstable", message="The training is <unstable>.", remedies=[fake.RATE]),
        Advised(epoch=3, finding="healthy", message="The training went well."),
    ]
    job.follow(make_job(events=[*fake.training(), *advised], state="running"))
    (button,) = job.advice.buttons
    assert "Learning rate: <b>0.001</b>" in button.toolTip
    button.click()
    assert json.loads(panel.parameters.configuration) == {"optimizer.learning_rate": 0.001}
    assert job.ui.messageLabel.text == "Applied: it counts for the next start."
    (button,) = job.advice.buttons
    assert not button.enabled and "Already applied" in button.toolTip


def test_a_new_panel_finds_the_job_of_the_scene_with_all_its_curves(panel, job, make_job):
    make_job("other", state="running")
    make_job("mine", events=fake.training(5), state="finished")
    parameters = fake.new_parameters()
    parameters.trainingJob = "mine"
    panel.setParameterNode(parameters)
    assert job.watched.name == "mine" and job.charts.nodes["losses"].GetNumberOfRows() == 5


def test_without_one_the_newest_that_runs_is_found(panel, job, make_job):
    make_job("done", events=fake.training(), state="finished")
    make_job("running", events=fake.training(2), state="running")
    panel.setParameterNode(fake.new_parameters())
    assert job.watched.name == "running" and panel.parameters.trainingJob == "running"
    shutil.rmtree(panel.jobs.root / "running")
    panel.parameters.trainingJob = "removed by hand"
    job.watched = None
    panel.setParameterNode(panel.parameters)
    assert job.watched is None


def test_after_the_scene_was_closed_the_job_is_shown_again(panel, job, make_job):
    job.follow(make_job(events=fake.training(4), state="running"))
    before = job.watched
    panel.setParameterNode(None)
    slicer.mrmlScene.Clear()
    job.onTimer()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    panel.setParameterNode(fake.new_parameters())
    assert job.watched is before and panel.parameters.trainingJob == "liver-tumor"
    assert job.charts.nodes["losses"].GetNumberOfRows() == 4
    assert job.charts.nodes["dice"].GetScene() is slicer.mrmlScene


@pytest.fixture
def imported(job):
    """What the preview imports; instead of reading a file, it makes a segmentation without segments."""
    calls = []

    def import_file(path, classes, volume, segmentation, *, name):
        calls.append((path, [item.name for item in classes], volume, segmentation, name))
        if segmentation is None:
            segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
            segmentation.CreateDefaultDisplayNodes()
        return segmentation

    job.preview._import = import_file
    job.preview._not_before = 0.0
    return calls


def test_the_newest_prediction_is_shown_once_a_file_and_can_be_switched_off(
    panel, job, cases, make_job, imported, slice_views
):
    slice_views.show(cases[2].volumes[0])
    folder = make_job(events=fake.training(), state="running")
    job.follow(folder)
    assert not job.ui.previewCheckBox.visible
    fake.put_preview(folder, "CT_03", 4)
    job.onTimer()
    job.onTimer()
    ((path, classes, volume, segmentation, name),) = imported
    assert path == folder.previews / "latest.seg.nrrd" and classes == ["liver", "tumor"]
    assert volume is cases[2].volumes[0] and segmentation is None and "CT_03" in name
    assert job.ui.previewCheckBox.checked and "CT_03" in job.ui.previewCheckBox.text
    node = job.preview.node()
    assert node.GetHideFromEditors() and not node.GetSaveWithScene()
    fake.put_preview(folder, "CT_03", 14)
    job.preview._not_before = 0.0
    job.onTimer()
    assert len(imported) == 2 and imported[1][3] is node
    job.ui.previewCheckBox.click()
    assert job.preview.node() is None and not panel.parameters.showPreview
    job.onTimer()
    assert len(imported) == 2
    job.ui.previewCheckBox.click()
    assert len(imported) == 3 and job.preview.node() is not None


def drawn_in(node, slice_views):
    """Names of the slice views that Slicer draws a segmentation in: all, where its display names none."""
    display = node.GetDisplayNode() if node is not None else None
    if display is None or not display.GetVisibility():
        return []
    named = display.GetViewNodeIDs()
    return [name for name, view in slice_views.nodes.items() if not named or view.GetID() in named]


def test_a_prediction_is_drawn_over_its_own_volume_only(panel, job, cases, make_job, imported, slice_views):
    mine, another = cases[2].volumes[0], cases[0].volumes[0]
    slice_views.show(another)
    before = slice_views.layers()
    folder = make_job(events=fake.training(), state="running")
    fake.put_preview(folder, "CT_03", 4)
    job.follow(folder)
    job.onTimer()
    box = job.ui.previewCheckBox
    assert imported == [] and slice_views.layers() == before and box.enabled and not box.checked
    slice_views.show(mine, names=("Green",))
    job.onTimer()
    assert drawn_in(job.preview.node(), slice_views) == ["Green"] and box.checked
    slice_views.show(another, mine, names=("Red",))
    job.onTimer()
    assert sorted(drawn_in(job.preview.node(), slice_views)) == ["Green", "Red"], "also under another volume"
    slice_views.show(another)
    job.onTimer()
    assert drawn_in(job.preview.node(), slice_views) == [] and not box.checked
    box.click()
    assert set(slice_views.layers().values()) == {(mine.GetID(), None)}, "asked for"
    assert sorted(drawn_in(job.preview.node(), slice_views)) == sorted(slice_views.nodes)


def test_a_prediction_is_hidden_with_the_panel_and_removed_with_the_end(
    panel, job, cases, make_job, imported, slice_views
):
    slice_views.show(cases[2].volumes[0])
    folder = make_job(events=fake.training(), state="running")
    fake.put_preview(folder, "CT_03", 4)
    job.follow(folder)
    job.onTimer()
    assert drawn_in(job.preview.node(), slice_views)
    panel.entered = False
    fake.put_preview(folder, "CT_03", 14)
    job.preview._not_before = 0.0
    job.onTimer()
    assert drawn_in(job.preview.node(), slice_views) == [] and len(imported) == 1, "nor is time spent on it"
    panel.entered = True
    job.onTimer()
    assert drawn_in(job.preview.node(), slice_views) and len(imported) == 2
    EventLog(folder.events_file)(Finished(message="Trained.", result="r"))
    status = json.loads(folder.status_file.read_text())
    folder.status_file.write_text(json.dumps({**status, "state": "finished"}))
    job.onTimer()
    assert job.preview.node() is None and not job.ui.previewCheckBox.checked
    job.ui.previewCheckBox.click()
    job.onTimer()
    assert drawn_in(job.preview.node(), slice_views), "also of a training that has ended, where it is asked for"
    job.cleanup()
    assert job.preview.node() is None


def test_a_prediction_of_a_volume_that_is_not_in_the_scene_is_not_shown(job, cases, make_job):
    folder = make_job(events=fake.training(), state="running")
    fake.put_preview(folder, "CT_77", 4)
    job.follow(folder)
    job.onTimer()
    assert not job.ui.previewCheckBox.enabled and "CT_77 is not among" in job.ui.previewCheckBox.toolTip
    assert job.preview.node() is None


def test_the_list_shows_trainings_and_what_can_be_done_with_them(panel, job, make_job):
    for age, name in enumerate(("new", "old")):
        folder = make_job(name, events=fake.training(), state="running" if name == "new" else "finished", best=0.73)
        os.utime(folder.job_file, (time.time() - 1000 * age,) * 2)
    folder.model.mkdir()
    job.ui.jobsButton.collapsed = False
    assert panel.train.uiWidget.minimumSizeHint.width() <= 360, "the list makes no dock wider"
    table = job.ui.jobsTable
    shown = [[table.item(row, column).text() for column in range(4)] for row in range(table.rowCount)]
    assert shown == [["new", "running", "0.73", "liver, tumor"], ["old", "done", "0.73", "liver, tumor"]]
    assert job.ui.jobsButton.text == "Trainings (2)"
    table.setCurrentCell(0, 0)
    assert not job.ui.removeButton.enabled and tooltip(job.ui.removeButton) == "It is running. Stop it first."
    assert not job.ui.useButton.enabled and not job.ui.jobResumeButton.enabled
    table.setCurrentCell(1, 0)
    assert job.ui.removeButton.enabled and not job.ui.reportButton.enabled and job.ui.useButton.enabled
    job.ui.watchButton.click()
    assert job.watched.name == "old"
    job.ui.useButton.click()
    assert panel.parameters.model == str(folder.path)
    job.ui.removeButton.click()
    assert not folder.path.exists() and job.watched is None and job.ui.jobsButton.text == "Trainings (1)"


def rows_of(job):
    table = job.ui.jobsTable
    return [[table.item(row, column).text() for column in range(2)] for row in range(table.rowCount)]


def test_what_was_removed_is_undone_at_once_or_brought_back_from_the_list(panel, job, make_job, dialogs):
    folder = make_job("liver", events=fake.training(), state="finished", best=0.73)
    job.ui.jobsButton.collapsed = False
    job.follow(folder)
    assert not job.ui.undoFrame.visible and not job.ui.restoreButton.enabled
    job.ui.removeButton.click()
    assert not folder.path.exists() and job.watched is None and dialogs.shown == []
    assert job.ui.undoFrame.visible and "liver was removed. It is kept for 30 days" in job.ui.undoLabel.text
    job.ui.undoButton.click()
    assert folder.job_file.exists() and not job.ui.undoFrame.visible and rows_of(job) == [["liver", "done"]]
    job.ui.removeButton.click()
    job.onTimer()
    job.trainings.show()
    ((name, state),) = rows_of(job)
    assert name == "liver" and state == "removed, 0 MB"
    for button in (job.ui.watchButton, job.ui.jobResumeButton, job.ui.reportButton, job.ui.useButton):
        assert not button.enabled and tooltip(button) == "It was removed. Bring it back first."
    assert job.ui.removeButton.text == "Delete"
    job.ui.restoreButton.click()
    assert rows_of(job) == [["liver", "done"]] and job.ui.messageLabel.text == "liver is back."
    assert not job.ui.undoFrame.visible and job.ui.removeButton.text == "Remove"


def test_deleting_for_good_asks_first(panel, job, make_job, dialogs):
    make_job("liver", events=fake.training(), state="finished")
    job.ui.jobsButton.collapsed = False
    job.ui.removeButton.click()
    job.ui.removeButton.click()
    (text,) = dialogs.shown
    assert "liver" in text and "for good" in text
    job.onTimer()
    assert rows_of(job) == [] and list((panel.jobs.root / ".trash").iterdir()) == [] and not job.ui.undoFrame.visible


def test_rows_that_stay_are_not_made_again(panel, job, make_job):
    """Their items are the same objects while trainings come, go and end."""
    for age, name in enumerate("abc"):
        folder = make_job(name, state="finished")
        os.utime(folder.job_file, (time.time() - 100 * (age + 1),) * 2)
    job.ui.jobsButton.collapsed = False
    table = job.ui.jobsTable
    table.setCurrentCell(2, 0)
    items = {name: table.item(row, 0) for row, name in enumerate("abc")}
    shutil.rmtree(panel.jobs.root / "a")
    make_job("new", state="failed")
    job.trainings.show()
    assert [row[0] for row in rows_of(job)] == ["new", "b", "c"] and table.currentRow() == 2
    assert table.item(1, 0) is items["b"] and table.item(2, 0) is items["c"]
    os.utime(panel.jobs.root / "c" / "job.json")
    os.utime(panel.jobs.root / "b" / "job.json", (time.time() + 5,) * 2)
    job.trainings.show()
    assert table.item(0, 0).text() == "b" and sorted(row[0] for row in rows_of(job)) == ["b", "c", "new"]


def test_the_log_has_events_in_words_and_what_was_printed(job, make_job):
    folder = make_job(events=fake.training(1), state="running")
    folder.log_file.write_text("a warning of torch\n")
    job.follow(folder)
    job.ui.logButton.collapsed = False
    text = job.log.edit.plainText
    assert "Training ..." in text and "epoch 1: Dice 0.40 (liver 0.45, tumor 0.35)" in text
    assert "    a warning of torch" in text and "progress" not in text
    EventLog(folder.events_file)(Finished(message="Trained.", result="r"))
    job.onTimer()
    assert job.log.edit.plainText.startswith(text) and "Trained." in job.log.edit.plainText


def test_twenty_thousand_events_are_read_in_short_pieces(panel, job, make_job, capsys):
    folder = make_job(state="running")
    lines = []
    for number in range(1, 5001):
        event = {"kind": "epoch", "epoch": number, "epochs": 5000, "train_loss": 1 / number, "learning_rate": 1e-3}
        dice = {"liver": 0.9, "tumor": 0.5}
        lines.append({**event, "step": number, "gradient_norm": 1.0, "seconds": 1.0})
        lines += [{"kind": "progress", "done": number, "total": 5000, "eta_seconds": 9.0}] * 2
        lines.append({"kind": "validated", "epoch": number, "minutes": 1, "mean_dice": 0.7, "dice": dice})
    folder.events_file.write_text("".join(json.dumps({"seq": 1, "time": 0, **line}) + "\n" for line in lines))
    job.ui.logButton.collapsed = False
    job.follow(folder)
    took = []
    while not job.watched.caught_up:
        began = time.process_time()
        panel.train.onTimer()
        took.append(1000 * (time.process_time() - began))
    panel.train.onTimer()
    assert len(job.watched.epochs) == 5000 and len(took) > 3
    assert job.charts.nodes["losses"].GetNumberOfRows() <= 402
    with capsys.disabled():
        print(f"\ntimer: {len(took)} calls, median {statistics.median(took):.1f} ms, most {max(took):.1f} ms of CPU")


def test_warnings_of_the_job_are_shown(job, make_job):
    warned = Warned(message="No GPU was found: it trains on the CPU.")
    job.follow(make_job(events=[warned, *fake.training()], state="running"))
    assert job.ui.warningLabel.visible and job.ui.warningLabel.text == warned.message
