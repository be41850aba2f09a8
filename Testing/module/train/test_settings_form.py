import pytest
import qt
from MedSegTrainerUI.train.settings import all_settings
from MedSegTrainerUI.train.settings_form import SettingsForm


@pytest.fixture
def told():
    return {"changes": [], "refused": []}


@pytest.fixture
def form(scene, told):
    frame = qt.QWidget()
    qt.QFormLayout(frame)
    form = SettingsForm(frame, told["changes"].append, told["refused"].append)
    form.frame = frame
    form.show({"network.dims": 2})
    return form


def visible(form):
    return [key for key, editor in form.editors.items() if not editor.isHidden()]


def test_every_setting_has_an_editor_with_help_and_limits(form):
    assert form.editors.keys() == all_settings().keys()
    for key, editor in form.editors.items():
        assert all_settings()[key].help.split("'")[0].split("<")[0][:20] in editor.toolTip and key in editor.toolTip


def test_values_are_shown_and_what_was_changed_is_bold(form):
    assert form.editors["network.dims"].currentText == "2"
    assert form.editors["loss.loss_type"].currentText == "auto (default)"
    assert form.editors["optimizer.learning_rate"].text == ""
    assert form.editors["optimizer.learning_rate"].placeholderText == "auto"
    assert form._labels["network.dims"].text == "<b>Dims</b>" and form._labels["loss.loss_type"].text == "Loss type"


def test_only_changed_values_are_told(form, told):
    form.enter("optimizer.learning_rate", "0.01")
    form.enter("loss.loss_type", "dice")
    assert told["changes"][-1] == {"network.dims": 2, "loss.loss_type": "dice", "optimizer.learning_rate": 0.01}
    form.enter("network.dims", "auto")
    form.enter("optimizer.learning_rate", "")
    assert told["changes"][-1] == {"loss.loss_type": "dice"}
    count = len(told["changes"])
    form.enter("optimizer.learning_rate", "auto")
    assert len(told["changes"]) == count


def test_a_wrong_value_is_marked_and_not_taken(form, told):
    form.enter("data.overlap", "2")
    assert told["changes"] == [] and "Overlap: '2' is not possible" in told["refused"][-1]
    assert form.editors["data.overlap"].styleSheet
    form.enter("data.overlap", "0.5")
    assert told["refused"][-1] == "" and not form.editors["data.overlap"].styleSheet


def test_settings_are_found_by_words_and_group(form):
    assert form.find("learning rate") == len(visible(form)) >= 1
    assert "optimizer.learning_rate" in visible(form) and "data.overlap" not in visible(form)
    assert form.find("", "Loss") == len(visible(form)) and {key[:5] for key in visible(form)} == {"loss."}
    assert form.find("mirrored") == 1 and visible(form) == ["data.flip_axes"]
    assert form.find("xyzzy") == 0 and visible(form) == []
    assert form.find("") == len(form.editors)
