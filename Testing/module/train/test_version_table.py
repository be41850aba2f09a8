"""The versions of a line of trainings, on a panel of fakes."""

import os

import fake_panel as fake
import pytest

panel, train, job, cases = fake.panel, fake.train, fake.job, fake.cases


@pytest.fixture
def line(job, make_job, make_model):
    """Three versions, the second of which was measured best; and another training."""
    folders = []
    for number, dice in enumerate((0.7, 0.84, 0.81), start=1):
        start = str(folders[-1].path) if folders else ""
        folder = make_job(f"liver-{number}", start=start, state="finished", best=dice)
        make_model(
            f"jobs/liver-{number}/model",
            training={"train_cases": [f"CT_{one}" for one in range(number)], "val_cases": ["CT_9"]},
            metrics={"val_dice": dice, "val_dice_per_class": {"liver": dice}}, curves=[{"minutes": 1.5 * number}],
        )  # fmt: skip
        os.utime(folder.job_file, (1000 + number,) * 2)
        folders.append(folder)
    os.utime(make_job("other", state="finished").job_file, (5000,) * 2)
    job.ui.jobsButton.collapsed = False
    job.trainings.show()
    return folders


def cells(table):
    return [[table.item(row, column).text() for column in range(4)] for row in range(table.rowCount)]


def test_a_line_is_one_entry_with_its_history(job, line):
    table, versions = job.ui.jobsTable, job.ui.versionsTable
    assert [row[0] for row in cells(table)] == ["other", "liver-3 (3 versions)"]
    assert job.ui.jobsButton.text == "Trainings (2)"
    assert not versions.visible and not job.ui.backButton.visible
    table.setCurrentCell(1, 0)
    assert versions.visible and job.ui.backButton.visible
    assert cells(versions) == [
        ["3: liver-3", "3", "4.5", "0.81"], ["2: liver-2", "2", "3.0", "0.84"], ["1: liver-1", "1", "1.5", "0.70"],
    ]  # fmt: skip


def test_going_back_makes_a_version_the_one_to_apply_and_to_go_on_from(panel, job, line, cases):
    job.ui.jobsTable.setCurrentCell(1, 0)
    panel.parameters.startModel = str(line[2].path)
    job.ui.versionsTable.setCurrentCell(1, 0)
    job.ui.backButton.click()
    second = str(line[1].path)
    assert panel.parameters.model == second and panel.parameters.startModel == second
    assert job.watched.name == "liver-2" and "liver-2 is the version" in job.ui.messageLabel.text
    job.trainings.show()
    assert job.ui.versionsTable.item(1, 0).font().bold() and not job.ui.versionsTable.item(0, 0).font().bold()


def test_the_buttons_are_for_the_chosen_version(panel, job, line):
    job.ui.jobsTable.setCurrentCell(1, 0)
    job.ui.versionsTable.setCurrentCell(2, 0)
    job.ui.watchButton.click()
    assert job.watched.name == "liver-1"
    job.ui.useButton.click()
    assert panel.parameters.model == str(line[0].path)
    job.ui.removeButton.click()
    assert not line[0].path.exists() and line[1].path.exists()
    assert cells(job.ui.versionsTable)[0][0] == "2: liver-3"


def test_a_version_that_ends_takes_the_place_in_section_3_of_the_one_it_began_as(panel, job, line):
    panel.parameters.model = str(line[1].path)
    job.follow(line[2])
    job._offer_model(job.watched)
    assert panel.parameters.model == str(line[2].path)
    job.follow(line[1])
    job._offer_model(job.watched)
    assert panel.parameters.model == str(line[2].path), "it did not begin as that one"
