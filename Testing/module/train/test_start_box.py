"""What a training starts from, on a panel of fakes: the choice, what is told of it, and what the job gets."""

import json
import shutil

import fake_panel as fake
import pytest
from MedSegTrainerUI.models.model_list import recent_models
from tooltips import tooltip

panel, train, job, cases = fake.panel, fake.train, fake.job, fake.cases


@pytest.fixture
def ui(train):
    return train.ui


def choose(train, path):
    train.start.models.choose(str(path))


def start_of(panel):
    """What the newest job starts from."""
    config = panel.environment.started[-1].read_document()["config"]["start"]
    return {name: config[name] for name in ("model", "rename", "adapt")}


def told(train):
    label = train.ui.startLabel
    return label.text if label.visible else ""


def test_nothing_is_what_a_training_starts_from(panel, train, ui, cases):
    assert ui.startSelector.currentText == "nothing" and told(train) == ""
    assert not ui.renameFrame.visible and not ui.adaptCheckBox.visible
    ui.startButton.click()
    assert start_of(panel) == {"model": "", "rename": [], "adapt": False}
    assert not train.job.ui.startedLabel.visible


def test_trainings_with_a_model_and_models_that_were_used_are_listed(panel, train, ui, make_job, make_model):
    make_job("untrained")
    make_job("earlier")
    make_model("jobs/earlier/model")
    choose(train, make_model("models/colleague"))
    titles = [ui.startSelector.itemText(index).partition(",")[0] for index in range(ui.startSelector.count)]
    assert titles == ["nothing", "earlier", "colleague"]
    assert ui.startSelector.currentText.startswith("colleague, ")
    train.start.models.onModel(1)
    assert panel.parameters.startModel == str(panel.jobs.root / "earlier")
    train.start.models.onModel(0)
    assert panel.parameters.startModel == "" and told(train) == ""


def test_the_job_gets_the_model(panel, train, ui, cases, make_model, screenshot):
    model = make_model()
    choose(train, model)
    assert told(train) == "Kept: liver. Dropped: tumor." and recent_models() == [str(model)]
    assert ui.planLabel.text.endswith("; the network is that of the model.")
    screenshot(train.uiWidget, "train-start-from")
    ui.adaptCheckBox.click()
    ui.startButton.click()
    assert start_of(panel) == {"model": str(model), "rename": [], "adapt": True}
    started = train.job.ui.startedLabel
    assert started.text == "started from liver-tumor" and tooltip(started) == str(model)


def test_a_class_of_another_name_is_told_by_the_row(panel, train, ui, cases, make_model, screenshot):
    choose(train, make_model(plan={"classes": [klass(1, "hepar"), klass(2, "lesion")]}))
    assert told(train) == "New: liver. Dropped: hepar, lesion."
    assert ui.renameFrame.visible and ui.renameSelector.currentText == "liver"
    assert ui.renameButton.text == "new" and [one.text for one in menu(train)] == ["hepar", "lesion"]
    menu(train)[0].trigger()
    assert told(train) == "Kept: liver (was hepar). Dropped: lesion." and ui.renameButton.text == "hepar"
    menu(train)[1].trigger()
    assert told(train) == "Kept: liver (was hepar + lesion)." and ui.renameButton.text == "hepar + lesion"
    assert tooltip(ui.renameButton).startswith("hepar + lesion")
    screenshot(train.uiWidget, "train-renamed-class")
    ui.startButton.click()
    assert start_of(panel)["rename"] == ["hepar=liver", "lesion=liver"]
    menu(train)[0].trigger()
    assert json.loads(panel.parameters.startRename) == {"liver": ["lesion"]} and not menu(train)[0].checked


def test_one_class_of_the_model_can_become_two(panel, train, ui, cases, make_model):
    panel.chosen.append(fake.SegmentClass(**{**vars(panel.chosen[0]), "name": "left lobe", "value": 2}))
    choose(train, make_model(plan={"classes": [klass(1, "liver")]}))
    assert ui.renameSelector.currentText == "left lobe", "the first that is new"
    menu(train)[0].trigger()
    assert told(train) == "Kept: liver, left lobe (was liver)."
    ui.renameSelector.setCurrentIndex(0)
    (same,) = menu(train)
    assert same.checked and not same.enabled, "by its name"
    assert train.start.settings()["start.rename"] == ["liver=liver", "liver=left lobe"]


def test_equal_names_need_no_row(panel, train, ui, cases, make_model):
    choose(train, make_model(plan={"classes": [klass(1, "Liver")]}))
    assert not ui.renameFrame.visible and told(train) == "Kept: liver (was Liver)."


def test_another_model_forgets_the_names_of_the_one_before(panel, train, cases, make_model):
    choose(train, make_model("first", plan={"classes": [klass(1, "hepar")]}))
    menu(train)[0].trigger()
    train.ui.adaptCheckBox.click()
    choose(train, make_model("second", plan={"classes": [klass(1, "hepar")]}))
    assert (panel.parameters.startRename, panel.parameters.startAdapt) == ("{}", False)
    assert train.ui.renameButton.text == "new" and not train.ui.adaptCheckBox.checked


class TestMistakes:
    def test_a_model_that_has_vanished_is_told_before_anything_starts(self, panel, train, ui, cases, make_model):
        model = make_model()
        choose(train, model)
        shutil.rmtree(model)
        train.start.models.look_again()
        panel.refresh()
        assert "is not there any more" in told(train) and "start from nothing" in told(train)
        assert ui.startSelector.currentText == "liver-tumor (no model)" and not ui.adaptCheckBox.visible
        ui.startButton.click()
        assert "is not there any more" in ui.messageLabel.text and panel.environment.started == []
        train.start.models.onModel(0)
        ui.startButton.click()
        assert start_of(panel)["model"] == ""

    def test_an_ensemble_is_no_beginning(self, panel, train, ui, cases, make_model):
        members = [{"weights": f"weights_{number}.safetensors", "plan": {}} for number in range(5)]
        choose(train, make_model("folds", members=members))
        assert "folds is an ensemble of 5 models" in told(train) and not ui.renameFrame.visible
        ui.startButton.click()
        assert "ensemble of 5 models" in ui.messageLabel.text and panel.environment.started == []

    def test_wrong_channels_need_the_check_mark(self, panel, train, ui, cases, make_model):
        choose(train, make_model(plan={"channel_names": ["T1", "T2"]}))
        sentence = "The model takes 2 volumes a case (T1, T2), and the cases have 1."
        assert sentence in told(train) and "'Adapt'" in told(train)
        ui.startButton.click()
        assert sentence in ui.messageLabel.text and panel.environment.started == []
        ui.adaptCheckBox.click()
        assert told(train) == "Kept: liver. Dropped: tumor."
        ui.startButton.click()
        assert start_of(panel)["adapt"] is True

    def test_what_is_no_model_is_told_and_not_chosen(self, panel, train, ui, tmp_path):
        wrong = tmp_path / "photo.zip"
        wrong.write_text("a photo")
        choose(train, wrong)
        assert "it is not a zip file" in ui.messageLabel.text and panel.parameters.startModel == ""

    def test_a_job_that_has_no_model_yet(self, panel, train, cases, make_job):
        choose(train, make_job("untrained").path)
        assert "has made no model yet" in train.ui.messageLabel.text and panel.parameters.startModel == ""


def klass(value, name):
    return {"value": value, "name": name, "color": [1, 2, 3], "terminology": ""}


def menu(train):
    """The entries of the menu in which the old names are chosen."""
    return list(train.start.renaming.actions.values())


def test_it_survives_a_reload(panel, train, cases, make_model):
    """A section that is made anew, as after Reload, shows what the scene remembers."""
    choose(train, make_model(plan={"classes": [klass(1, "hepar")]}))
    menu(train)[0].trigger()
    again = fake.TrainSection(panel)
    again.setParameterNode(panel.parameters)
    again.uiWidget.show()
    assert told(again) == "Kept: liver (was hepar)." and again.ui.renameButton.text == "hepar"
    assert again.ui.startSelector.currentText.startswith("liver-tumor, ")
    again.uiWidget.hide()
    again.cleanup()


def test_it_is_saved_and_loaded_with_the_settings(panel, train, cases, make_model, tmp_path):
    model = make_model(plan={"classes": [klass(1, "hepar"), klass(2, "lesion")]})
    choose(train, model)
    menu(train)[0].trigger()
    menu(train)[1].trigger()
    train.ui.adaptCheckBox.click()
    train.save(tmp_path / "mine.json")
    train.start.models.onModel(0)
    assert panel.parameters.startModel == "" and panel.parameters.startRename == "{}"
    train.load(tmp_path / "mine.json")
    assert panel.parameters.startModel == str(model) and panel.parameters.startAdapt
    assert told(train) == "Kept: liver (was hepar + lesion)."
    (tmp_path / "other.json").write_text('{"trainer": {"epochs": 5}}')
    train.load(tmp_path / "other.json")
    assert panel.parameters.startModel == str(model), "the file says nothing of it"
