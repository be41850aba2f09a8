"""Going on with a training of the same rows, on a panel of fakes."""

import shutil

import fake_panel as fake
import pytest
from tooltips import tooltip

panel, train, job, cases = fake.panel, fake.train, fake.job, fake.cases


@pytest.fixture
def ui(train):
    return train.ui


@pytest.fixture
def make_version(make_job, make_model):
    """A training that has ended with a model, of these cases."""

    def make(name, start="", cases=("CT_01", "CT_02")):
        folder = make_job(name, start=str(start), state="finished")
        make_model(f"jobs/{name}/model", training={"train_cases": list(cases), "val_cases": []})
        return folder

    return make


def started_from(panel):
    return panel.environment.started[-1].read_document()["config"]["start"]["model"]


def buttons(ui):
    return [button.text.replace("&", "") for button in (ui.continueButton, ui.startButton) if button.visible]


def test_before_there_is_a_training_of_these_rows_nothing_goes_on(panel, job, ui, cases, make_version):
    assert buttons(ui) == ["Start training"]
    job.follow(make_version("other", cases=("MR_01",)))
    assert buttons(ui) == ["Start training"]


def test_it_goes_on_around_and_around_from_the_newest(panel, train, job, ui, cases, make_version, make_model):
    first = make_version("liver-1")
    job.follow(first)
    panel.refresh()
    assert buttons(ui) == ["Continue", "Start training"] and panel.parameters.startModel == ""
    assert "with the rows of now: 3, of which 1 are new" in tooltip(ui.continueButton)
    ui.continueButton.click()
    assert started_from(panel) == panel.parameters.startModel == str(first.path)
    second = panel.environment.started[-1]
    assert not ui.startButton.enabled and "is running" in tooltip(ui.startButton)
    fake_end(second, make_model)
    job.follow(second)
    panel.refresh()
    assert buttons(ui) == ["Continue"] and panel.parameters.startModel == str(first.path), "not silently"
    assert ui.planLabel.text.startswith("3 cases, and those that were held out stay so; the network is that of")
    ui.startButton.click()
    assert started_from(panel) == panel.parameters.startModel == str(second.path)


def fake_end(folder, make_model):
    shutil.rmtree(folder.path / "data", ignore_errors=True)
    folder.log_file.unlink()
    make_model(f"jobs/{folder.path.name}/model", training={"train_cases": ["CT_01"], "val_cases": ["CT_03"]})


def test_a_model_that_was_chosen_counts_before_the_training_that_is_shown(
    panel, train, job, ui, cases, make_version, make_model
):
    first = make_version("liver-1")
    second = make_version("liver-2", first.path)
    job.follow(make_version("liver-3", second.path))
    train.start.models.choose(str(first.path))
    assert buttons(ui) == ["Continue"]
    ui.startButton.click()
    assert started_from(panel) == str(first.path)


def test_a_model_of_other_rows_is_started_from_and_not_gone_on_with(panel, train, ui, cases, make_model):
    train.start.models.choose(str(make_model()))
    assert buttons(ui) == ["Start training"]


def test_start_starts_from_nothing_where_that_is_chosen(panel, job, ui, cases, make_version):
    job.follow(make_version("liver-1"))
    panel.refresh()
    ui.startButton.click()
    assert started_from(panel) == "" and panel.parameters.startModel == ""


def test_every_training_shares_the_cache_of_the_jobs_unless_another_is_set(panel, train, ui, cases):
    ui.startButton.click()
    data = panel.environment.started[-1].read_document()["config"]["data"]
    assert data["cache_dir"] == str(panel.jobs.root / "cache")
    assert panel.jobs.new("cache").path.name == "cache-2", "no job takes its place"
