import json

import pytest
from MedSegTrainerUI.train.settings_file import load_settings, save_settings

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.files.json_input import LARGEST_BYTES


def test_a_file_comes_back_as_it_was_saved(tmp_path):
    changes = {"network.dims": 2, "optimizer.learning_rate": 0.01, "trainer.gradient_clip": None}
    path = tmp_path / "a.json"
    save_settings(path, changes)
    assert json.loads(path.read_text())["optimizer"] == {"learning_rate": 0.01}
    assert load_settings(path) == (changes, {})


@pytest.mark.parametrize(
    ("document", "changes"),
    [
        ({"learning_rate": "0.01", "loss_type": "dice"}, {"optimizer.learning_rate": 0.01, "loss.loss_type": "dice"}),
        ({"loss_type": "focal", "gamma": 3}, {"loss.loss_type": "focal", "loss.gamma": 3.0}),
        ({"schema_version": 1, "kind": "train", "config": {"trainer": {"epochs": 3, "budget": "5m"},
          "data": {"data_dir": "/x", "seed": 42}}}, {"trainer.epochs": 3}),
    ],
)  # fmt: skip
def test_files_may_have_bare_keys_and_may_be_a_job(tmp_path, document, changes):
    path = tmp_path / "a.json"
    path.write_text("\ufeff" + json.dumps(document), encoding="utf-8")
    assert load_settings(path)[0] == changes


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no json", "wrong.json is not valid JSON: Expecting value"),
        ('{"learning_rate": NaN}', "wrong.json is not valid JSON: nan is no finite number."),
        ('{"trainer": {"epochs": 1e999}}', "wrong.json is not valid JSON: inf is no finite number."),
        ('{"epochs": 3, "epochs": 4}', "wrong.json is not valid JSON: 'epochs' stands twice in one object."),
        ("[" * 100 + "]" * 100, "wrong.json is not valid JSON: it is nested more than 64 levels deep."),
        (" " * (LARGEST_BYTES + 1), "more than the 67108864 of any such file. It is not read."),
        ("[1]", "wrong.json holds no settings of a training."),
        ('{"nodes": []}', "wrong.json is a workflow"),
        ('{"trainer": 3}', "'trainer' must be an object with settings."),
        ('{"trainer": {"epoch": 3}}', "'trainer.epoch' is no setting of a training. Did you mean 'trainer.epochs'?"),
        ('{"gamma": 3}', "'gamma' can be loss.gamma or trainer.gamma"),
        ('{"epochs": "many"}', "Epochs: 'many' is not possible."),
        ('{"start": {"rename": "a=b"}}', "'start.rename' cannot be a=b."),
    ],
)
def test_wrong_files_are_refused_in_a_sentence(tmp_path, content, told):
    path = tmp_path / "wrong.json"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        load_settings(path)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"gone\.json cannot be used: No such file"):
        load_settings(tmp_path / "gone.json")


def test_what_a_training_starts_from_is_in_the_file(tmp_path):
    start = {"start.model": "/models/a", "start.rename": ["lesion=tumor"], "start.adapt": True}
    save_settings(tmp_path / "a.json", {"trainer.epochs": 3, **start})
    assert load_settings(tmp_path / "a.json") == ({"trainer.epochs": 3}, start)
