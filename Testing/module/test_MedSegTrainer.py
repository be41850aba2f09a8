import ast
import sys
from pathlib import Path

import played_session as played
import pytest
import qt
import slicer

import MedSegTrainer

FILE = Path(MedSegTrainer.__file__)


@pytest.fixture(autouse=True)
def folder(scene, medsegtrainer, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    yield
    qt.QSettings().remove("MedSegTrainer/Folder")
    qt.QSettings().remove("MedSegTrainer/Python")


def test_the_file_is_one_that_slicer_finds_as_a_module():
    content = FILE.read_bytes()
    assert content.isascii() and not content.startswith(b"#!")
    bases = {
        item.name: [ast.unparse(base) for base in item.bases]
        for item in ast.parse(content).body
        if hasattr(item, "bases")
    }
    assert bases["MedSegTrainer"] == ["ScriptedLoadableModule"]
    assert bases["MedSegTrainerTest"] == ["ScriptedLoadableModuleTest"]


def test_it_says_what_it_is(medsegtrainer):
    assert medsegtrainer.title == "MedSegTrainer" and list(medsegtrainer.categories) == ["Segmentation"]
    assert list(medsegtrainer.dependencies) == []
    assert medsegtrainer.helpText and medsegtrainer.acknowledgementText and medsegtrainer.contributors


def test_nothing_heavy_is_imported():
    imported = set()
    for node in ast.parse(FILE.read_text()).body:
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported - sys.stdlib_module_names == {"slicer", "MedSegTrainerUI"}


def test_the_parameter_node_is_one_and_stays(module_widget):
    assert module_widget.panel.parameters.parameterNode is module_widget.logic.getParameterNode().parameterNode


def test_cleanup_may_be_called_after_quitting(module_widget):
    module_widget.onAboutToQuit()
    module_widget.cleanup()
    slicer.mrmlScene.Clear()
    assert module_widget.Observations == []


def self_test(panel):
    """On a panel of this test, not on the one that the application keeps."""
    case = MedSegTrainer.MedSegTrainerTest()
    case.messageDelay = 0
    case.open_panel = lambda: panel
    case.setUp()
    return case


def test_the_self_test_trains_where_the_environment_is_ready(module_widget, torch_python, tmp_path):
    played.leave_tested(tmp_path / "home")
    module_widget.panel.environment.poll()
    self_test(module_widget.panel).test_training()
    assert [path.name for path in (tmp_path / "home" / "jobs").iterdir()] == ["cache"]  # which section 5 clears


@pytest.mark.parametrize("name", [name for name in dir(MedSegTrainer.MedSegTrainerTest) if name.startswith("test_")])
def test_the_self_test_passes(module_widget, name):
    if name == "test_sample_data":
        pytest.importorskip("SampleData", reason="the Sample Data module is part of Slicer")
    getattr(self_test(module_widget.panel), name)()
