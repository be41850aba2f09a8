from MedSegTrainerUI.jobs.job_list import JobSummary, summarize
from MedSegTrainerUI.jobs.training_lines import lines_of


def summary(name, started_from=""):
    return JobSummary(
        name=name, kind="train", state="finished", classes=(), dice=None, created=0.0, started_from=started_from
    )


def names(lines):
    return [[one.name for one in line] for line in lines]


def test_versions_and_branches_of_a_line_are_together_where_the_newest_is():
    summaries = [
        summary("d", "b"),
        summary("x"),
        summary("c", "b"),
        summary("b", "a"),
        summary("a"),
        summary("y", "gone"),
    ]
    assert names(lines_of(summaries)) == [["d", "c", "b", "a"], ["x"], ["y"]]


def test_trainings_that_name_each_other_are_no_endless_line():
    assert sorted(map(len, lines_of([summary("a", "b"), summary("b", "a"), summary("c", "c")]))) == [1, 1, 1]


def test_a_training_knows_what_it_began_as_in_the_same_list(make_job, tmp_path):
    first = make_job("first")
    assert summarize(first).started_from == ""
    assert summarize(make_job("second", start=str(first.path))).started_from == "first"
    assert summarize(make_job("third", start=str(first.path / "model"))).started_from == "first"
    assert summarize(make_job("fourth", start=str(tmp_path / "elsewhere"))).started_from == ""
