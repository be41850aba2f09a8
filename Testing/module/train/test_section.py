"""The section Train on a panel of fakes: what it writes, shows and refuses. Real files, scene and widgets."""

import json

import fake_panel as fake
import pytest
import qt
import slicer
from MedSegTrainerUI.parameter_node import Duration
from MedSegTrainerUI.train.section import split_text
from tooltips import tooltip

from MedSegTrainerLib.errors import JobError, StorageError
from MedSegTrainerLib.events import Advised

panel, train, job, cases = fake.panel, fake.train, fake.job, fake.cases


def test_start_exports_the_cases_and_starts_a_job_in_a_folder_of_its_own(panel, train, cases):
    panel.parameters.duration = Duration.QUICK
    panel.parameters.configuration = json.dumps({"loss.loss_type": "dice"})
    panel.refresh()
    train.ui.startButton.click()
    (folder,) = panel.environment.started
    assert folder.path == panel.jobs.root / "liver" and panel.parameters.trainingJob == "liver"
    config = folder.read_document()["config"]
    assert config["trainer"]["budget"] == "5m" and config["loss"]["loss_type"] == "dice"
    assert config["trainer"]["device"] == "cuda:1"
    assert config["data"]["data_dir"] == str(folder.path / "data")
    listed = json.loads((folder.path / "data" / "cases.json").read_text())
    assert [case["name"] for case in listed["cases"]] == ["CT_01", "CT_02", "CT_03"]
    assert train.job.watched.state == "starting" and not train.ui.messageLabel.visible
    assert not train.ui.startButton.enabled and "running" in train.ui.startButton.toolTip
    assert train.job.ui.stopKeepButton.visible and not train.job.ui.resumeButton.visible


def test_a_second_click_that_waited_starts_no_second_job(panel, train, cases):
    qt.QTimer.singleShot(0, train.onStart)
    train.onStart()
    assert len(panel.environment.started) == 1 and panel.environment.started[0].job_file.exists()
    assert train.ui.messageLabel.text == ""


def test_start_says_what_is_in_the_way(panel, train, cases):
    for data, environment in (("No data.", "No PyTorch."), ("", "No PyTorch.")):
        panel.data.told, panel.environment.problem = data, environment
        train.ui.startButton.click()
        assert train.ui.messageLabel.text == (data or environment) and train.ui.messageLabel.visible
    assert not panel.jobs.root.exists()


@pytest.mark.parametrize("error", [JobError("It cannot be started."), StorageError("The disk is full.")])
def test_a_start_that_fails_leaves_nothing_behind(panel, train, cases, error):
    panel.environment.error = error
    train.ui.startButton.click()
    assert train.ui.messageLabel.text == str(error)
    assert panel.jobs.all() == [] and panel.parameters.trainingJob == "" and train.job.watched is None
    assert list(panel.jobs.root.iterdir()) == []


def test_how_long_is_chosen_by_radio_buttons(panel, train):
    for button, duration in (("quickRadio", Duration.QUICK), ("untilStopRadio", Duration.UNTIL_STOP)):
        getattr(train.ui, button).click()
        assert panel.parameters.duration == duration
    panel.parameters.duration = Duration.THOROUGH
    panel.refresh()
    assert train.ui.thoroughRadio.checked and not train.ui.untilStopRadio.checked


def test_the_plan_is_told_before_and_after_the_start(panel, train, cases, make_job):
    expected = "3 cases, one is held out to measure the Dice; the network is chosen for them when training starts."
    assert train.ui.planLabel.text == expected and not train.ui.whyButton.enabled and train.ui.whyButton.toolTip
    panel.parameters.configuration = json.dumps({"network.type": "VNet", "trainer.epochs": 100})
    panel.refresh()
    assert "VNet, as set under Advanced" in train.ui.planLabel.text and "100 epochs" in train.ui.planLabel.text
    folder = make_job(events=fake.training(), state="running")
    header = json.dumps({"w": {"shape": [1400, 1000]}}).encode()
    folder.model.mkdir()
    (folder.model / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    train.job.follow(folder)
    panel.refresh()
    told = "A 3D U-Net (1.4 M weights) at 1.5 x 1.5 x 3 mm on NVIDIA RTX 4070. 2 of 3 cases train, 1 validate."
    assert train.ui.planLabel.text == told
    train.ui.whyButton.click()
    assert train.ui.whyText.visible and "guide <CNNs>" in train.ui.whyText.toPlainText()


def test_cases_held_out_are_counted_as_the_library_does():
    assert split_text(1, {}).startswith("1 case: it trains and is looked at")
    assert split_text(2, {}) == "2 cases, one is held out to measure the Dice"
    assert split_text(20, {}) == "20 cases, 6 are held out to measure the Dice"
    assert split_text(10, {"data.val_split": 0.0}) == "10 cases, none is held out"
    assert split_text(10, {"data.fold": 1}) == "10 cases, divided as set under Advanced"
    assert split_text(40, {"data.test_split": 1.0}).startswith("data.test_split = 1 keeps all 40 cases aside")


def test_without_data_the_plan_says_what_to_do(train):
    assert train.ui.planLabel.text.startswith("Add training data above")


def test_advanced_settings_are_kept_in_the_scene_reset_saved_and_loaded(panel, train, tmp_path):
    train.ui.advancedButton.collapsed = False
    train.form.enter("optimizer.learning_rate", "0.01")
    assert json.loads(panel.parameters.configuration) == {"optimizer.learning_rate": 0.01}
    panel.refresh()
    assert train.ui.changedLabel.text == "1 changed" and train.ui.resetButton.enabled
    train.save(tmp_path / "mine")
    train.ui.resetButton.click()
    assert json.loads(panel.parameters.configuration) == {}
    panel.refresh()
    assert not train.ui.resetButton.enabled and tooltip(train.ui.resetButton) == "No setting was changed."
    train.load(tmp_path / "mine.json")
    assert json.loads(panel.parameters.configuration) == {"optimizer.learning_rate": 0.01}
    (tmp_path / "wrong.json").write_text('{"trainer": {"epoch": 3}}')
    train.load(tmp_path / "wrong.json")
    assert "'trainer.epoch' is no setting of a training. Did you mean" in train.ui.settingsMessageLabel.text
    assert json.loads(panel.parameters.configuration) == {"optimizer.learning_rate": 0.01}


def test_advice_for_more_epochs_takes_more_minutes_where_minutes_are_chosen(panel, train):
    train.apply_changes({"trainer.epochs": 40, "optimizer.learning_rate": 0.01})
    assert panel.parameters.duration == Duration.THOROUGH
    assert json.loads(panel.parameters.configuration) == {"optimizer.learning_rate": 0.01}
    panel.parameters.configuration = json.dumps({"trainer.epochs": 20})
    train.apply_changes({"trainer.epochs": 40})
    assert json.loads(panel.parameters.configuration) == {"trainer.epochs": 40}
    assert panel.parameters.duration == Duration.THOROUGH


def test_what_it_looks_like(panel, train, job, cases, make_job, screenshot):
    advised = [
        Advised(epoch=20, finding="unstable", message="The training is unstable: it jumps.", remedies=[fake.RATE]),
        Advised(epoch=30, finding="class_at_zero", message="A structure is not found at all: tumor.", remedies=[
            {"setting": "data.foreground_oversampling", "current": "0.33", "suggested": "0.67", "why": "it is rare"}]),
    ]  # fmt: skip
    folder = make_job(events=[*fake.training(40), *advised], state="running")
    make_job("liver", events=fake.training(), state="finished", best=0.95)
    fake.put_preview(folder, "CT_03", 40)
    train.uiWidget.resize(420, 560)
    screenshot(train.uiWidget, "train-before")
    job.preview._import = lambda *a, **k: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    job.follow(folder)
    job.onTimer()
    panel.refresh()
    train.uiWidget.resize(420, 900)
    screenshot(train.uiWidget, "train-running")
    job.ui.jobsButton.collapsed = job.ui.logButton.collapsed = False
    train.uiWidget.resize(420, 1300)
    screenshot(train.uiWidget, "train-lists")
    job.ui.jobsButton.collapsed = job.ui.logButton.collapsed = True
    job.ui.chartsFrame.visible = False
    train.ui.whyButton.click()
    train.ui.advancedButton.collapsed = False
    panel.parameters.configuration = json.dumps({"loss.loss_type": "dice", "trainer.epochs": 100})
    panel.refresh()
    train.uiWidget.resize(420, 1000)
    assert screenshot(train.uiWidget, "train-advanced").stat().st_size > 1000
    assert qt.QApplication.overrideCursor() is None
