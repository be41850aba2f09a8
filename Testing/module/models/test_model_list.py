import qt
from MedSegTrainerUI.jobs.job_list import JobList
from MedSegTrainerUI.models.model_list import SETTING, ModelList, forget_model, recent_models, remember_model


def test_recent_models_are_remembered_newest_first_and_once(scene):
    assert recent_models() == []
    for path in ("/a", "/b", "/a"):
        remember_model(path)
    assert recent_models() == ["/a", "/b"]
    forget_model("/a")
    assert recent_models() == ["/b"]
    for number in range(20):
        remember_model(f"/{number}")
    assert len(recent_models()) == 10 and recent_models()[0] == "/19"


def test_settings_that_somebody_else_wrote_do_no_harm(scene):
    for text in ("no JSON", '{"a": 1}', '[1, "/b"]'):
        qt.QSettings().setValue(SETTING, text)
        assert recent_models() in ([], ["/b"])


def test_models_of_jobs_come_before_recent_ones_and_what_is_gone_is_left_out(scene, make_model, make_job, tmp_path):
    make_job("untrained")
    trained = make_job("liver")
    make_model("jobs/liver/model")
    other = make_model("models/other")
    remember_model(str(tmp_path / "gone"))
    remember_model(str(other))
    remember_model(str(trained.path))
    entries = ModelList().entries(JobList(tmp_path / "jobs").all())
    assert [entry.path for entry in entries] == [str(trained.path), str(other)]
    assert entries[0].title.startswith("liver, today ") and entries[0].title.endswith(", Dice 0.87")


def test_a_folder_of_nnunet_is_a_model_like_any_other(scene, make_nnunet):
    folder = make_nnunet()
    remember_model(str(folder))
    (entry,) = ModelList().entries([])
    assert entry.path == str(folder) and entry.title.startswith("Dataset004_Organs, 3d_fullres, today ")


def test_the_chosen_model_stays_in_the_list_when_it_was_removed(scene, tmp_path):
    (entry,) = ModelList().entries([], str(tmp_path / "gone"))
    assert entry.title == "gone (no model)"


def test_a_model_that_gets_better_is_read_again(scene, make_model):
    models = ModelList()
    folder = make_model()
    assert models.card(str(folder)).mean_dice == 0.87
    make_model(metrics={"val_dice_per_class": {"liver": 0.9512, "tumor": 0.9512}})
    assert models.card(str(folder)).mean_dice == 0.9512
