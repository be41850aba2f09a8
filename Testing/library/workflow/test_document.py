"""Workflow documents: what they mean, and every mistake told at once in words that name node, port and key."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import NetworkConfig, TrainConfig
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.workflow.document import Workflow, read_workflow
from MedSegTrainerLib.workflow.nodes import NODE_TYPES, MetricsConfig, PredictorConfig, VisualizerConfig

WORKFLOWS = Path(__file__).resolve().parents[3] / "Resources" / "workflows"
Document = dict[str, Any]


def node(kind: str, name: str, **config: Any) -> Document:
    return {"type": kind, "name": name, "config": config}


def link(start: str, end: str) -> Document:
    (source_node, source_port), (target_node, target_port) = start.split("."), end.split(".")
    return {
        "source_node": source_node, "source_port": source_port, "target_node": target_node, "target_port": target_port,
    }  # fmt: skip


def training() -> Document:
    return {
        "workflow": "Title",
        "nodes": [
            node("MedicalSegmentationLoader", "loader", data_dir="data", batch_size="2"),
            node("UNet2D", "net", base_channels="8"),
            node("LossFunction", "loss", loss_type="focal", gamma="3"),
            node("Optimizer", "adam", learning_rate="0.01"),
            node("Trainer", "trainer", epochs="3", gamma="0.5"),
        ],
    }


def applying() -> Document:
    return {
        "workflow": "Test",
        "nodes": [
            node("MedicalSegmentationLoader", "loader", data_dir="data"),
            node("BatchPredictor", "predictor", model="trained", apply_tta="true", tta_transforms='["flip_x"]'),
            node("MetricsCalculator", "metrics", metrics='["dice", "hd95"]', per_case="false"),
            node("Visualizer", "pictures", overlay_alpha="0.3"),
        ],
    }


TRAINING_LINKS = [
    link("loader.train_loader", "trainer.train_loader"),
    link("net.model", "trainer.model"),
    link("net.model", "adam.model"),
    link("loss.loss", "trainer.loss"),
    link("adam.optimizer", "trainer.optimizer"),
]
TESTING_LINKS = [
    link("loader.test_loader", "predictor.test_loader"),
    link("predictor.predictions", "metrics.predictions"),
    link("predictor.all_labels", "metrics.all_labels"),
    link("predictor.predictions", "pictures.predictions"),
    link("predictor.all_labels", "pictures.all_labels"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a document, with what documents name."""
    for name in ("data", "trained", "other"):
        (tmp_path / name).mkdir()
    return tmp_path


def read(document: Any, folder: Path, *settings: str) -> Workflow:
    return read_workflow(document, folder, settings)


def problems(document: Any, folder: Path, *settings: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(document, folder, *settings)
    return caught.value.problems


class TestMeaning:
    def test_training(self, folder: Path) -> None:
        workflow = read(training(), folder)
        expected = {
            "data": {"data_dir": str((folder / "data").resolve()), "batch_size": 2},
            "network": {"type": "UNet2D", "base_channels": 8},
            "loss": {"loss_type": "focal", "gamma": 3.0},
            "optimizer": {"learning_rate": 0.01},
            "trainer": {"epochs": 3, "gamma": 0.5},
        }
        assert workflow.train == parse_config(TrainConfig, expected)
        assert (workflow.title, workflow.predictor, workflow.metrics) == ("Title", None, None)

    def test_testing(self, folder: Path) -> None:
        workflow = read(applying(), folder)
        assert workflow.train is None
        assert workflow.data.data_dir == str((folder / "data").resolve())
        model = str((folder / "trained").resolve())
        assert workflow.predictor == PredictorConfig(model=model, apply_tta=True, tta_transforms=["flip_x"])
        assert workflow.metrics == MetricsConfig(metrics=["dice", "hd95"], per_case=False)
        assert workflow.visualizer == VisualizerConfig(overlay_alpha=0.3)

    def test_a_trainer_alone_trains_what_is_planned(self, folder: Path) -> None:
        document = training()
        document["nodes"] = [document["nodes"][0], document["nodes"][4]]
        train = read(document, folder).train
        assert train is not None and train.network == NetworkConfig()

    def test_both(self, folder: Path) -> None:
        document = training()
        document["nodes"] += [node("BatchPredictor", "predictor"), node("MetricsCalculator", "metrics")]
        workflow = read(document, folder)
        assert workflow.train is not None and workflow.predictor == PredictorConfig()

    @pytest.mark.parametrize("name", sorted(path.stem for path in WORKFLOWS.glob("*.json")))
    def test_shipped_documents_are_right(self, folder: Path, name: str) -> None:
        (folder / "job").mkdir()
        document = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
        read_workflow(document, folder, data_dir=folder / "data")

    def test_every_network_is_a_node(self) -> None:
        """One that is added to the configuration is one here, with its settings."""
        types = set(get_args(get_type_hints(NetworkConfig)["type"])) - {"auto"}
        assert types == set(ARCHITECTURES)
        assert {name for name, kind in NODE_TYPES.items() if kind.section == "network"} == types

    def test_settings_of_the_command_line_come_last(self, folder: Path) -> None:
        workflow = read(training(), folder, "epochs=7", "network.base_channels=16")
        assert workflow.train is not None
        assert (workflow.train.trainer.epochs, workflow.train.network.base_channels) == (7, 16)
        predictor = read(applying(), folder, "apply_tta=false", "predictor.overlap=0.25").predictor
        assert predictor is not None and (predictor.apply_tta, predictor.overlap) == (False, 0.25)

    def test_a_test_share_of_one_leaves_none_to_the_validation(self, folder: Path) -> None:
        document = applying()
        document["nodes"][0]["config"]["test_split"] = "1.0"
        data = read(document, folder).data
        assert (data.test_split, data.val_split) == (1, 0)

    def test_what_editors_add_is_passed_over(self, folder: Path) -> None:
        document = training() | {"description": "x", "name": "other"}
        document["nodes"][1] |= {"position": [3, 4], "collapsed": False}
        assert read(document, folder).title == "Title"


class TestLinks:
    @pytest.mark.parametrize(
        "document, links", [(training(), TRAINING_LINKS), (applying(), TESTING_LINKS)], ids=["training", "testing"]
    )
    def test_change_nothing_that_the_types_say(self, folder: Path, document: Document, links: list[Document]) -> None:
        assert read({**document, "links": links}, folder) == read(document, folder)

    @pytest.mark.parametrize("port", ["train_loader", "val_loader", "test_loader"])
    def test_say_which_cases_are_predicted(self, folder: Path, port: str) -> None:
        links = [link(f"loader.{port}", "predictor.dataloader"), *TESTING_LINKS[1:]]
        assert read({**applying(), "links": links}, folder).part == port


def without(*names: str) -> Any:
    def change(document: Document) -> None:
        document["nodes"] = [item for item in document["nodes"] if item["name"] not in names]

    return change


def adding(*nodes: Document) -> Any:
    return lambda document: document["nodes"].extend(nodes)


def setting(name: str, **config: Any) -> Any:
    return lambda document: next(n for n in document["nodes"] if n["name"] == name)["config"].update(config)


NOT_A_NUMBER = "Input should be a valid number, unable to parse string as a number; or: Input should be 'auto'"
MISTAKES: dict[str, tuple[Document, Any, list[str]]] = {
    "unknown type": (
        training(), adding(node("Optimiser", "sgd")),
        ["sgd: 'Optimiser' is no type of node. Did you mean 'Optimizer'?"],
    ),
    "unknown key": (
        training(), setting("adam", learning_rat=1), ["adam.learning_rat: unknown key. Did you mean 'learning_rate'?"],
    ),
    "key of another node": (
        training(), setting("trainer", learning_rate="0.1"), ["trainer.learning_rate: this key belongs to Optimizer."],
    ),
    "key of two other nodes": (
        training(), setting("adam", gamma="0.1"), ["adam.gamma: this key belongs to LossFunction or Trainer."],
    ),
    "key of a network": (
        training(), setting("loader", in_channels=1),
        [f"loader.in_channels: this key belongs to a network ({', '.join(ARCHITECTURES)})."],
    ),
    "the name of a network in its node": (
        training(), setting("net", type="UNet3D"), ["net.type: unknown key. Known: "],
    ),
    "a wrong value, by the name of its node": (
        training(), setting("adam", learning_rate="fast"),
        [f"adam.learning_rate = 'fast': {NOT_A_NUMBER}"],
    ),
    "a setting that the network lacks": (
        training(), setting("net", embed_dim="48"),
        ["net.embed_dim = 48: UNet2D has no such setting. Leave it out, or "],
    ),
    "two nodes of one name": (
        training(), lambda d: d["nodes"][2].update(name="net"),
        ["net: 2 nodes have this name (UNet2D, LossFunction). Give each its own."],
    ),
    "two loaders": (
        training(), adding(node("MedicalSegmentationLoader", "second", data_dir="data")),
        ["loader and second: 2 nodes of one kind; a workflow has one loader."],
    ),
    "two networks": (
        training(), adding(node("SwinUNETR", "swin")),
        ["net and swin: 2 nodes of one kind; a workflow trains one network."],
    ),
    "no loader": (
        training(), without("loader"),
        ["There is no MedicalSegmentationLoader: add one that says where the data are ('data_dir')."],
    ),
    "no folder": (
        training(), setting("loader", data_dir=""),
        ["loader.data_dir: give the folder with the labelled images, here or with --data."],
    ),
    "nothing to do": (
        training(), without("trainer", "loss", "net", "adam"),
        ["There is nothing to do: add a Trainer, or a BatchPredictor with a 'model'."],
    ),
    "a network that nothing trains": (
        applying(), adding(node("UNet2D", "net")),
        ["net: nothing is trained here. Add a Trainer, or remove this node: a model brings its own."],
    ),
    "nothing to measure": (
        training(), adding(node("MetricsCalculator", "metrics")),
        ["metrics: there are no predictions to use. Add a BatchPredictor."],
    ),
    "no model": (
        applying(), setting("predictor", model=""),
        ["predictor.model: nothing says which model. Give the folder of a training as 'model', or add a Trainer."],
    ),
    "two models": (
        applying(), setting("predictor", checkpoint="other"),
        ["predictor.model: 'checkpoint' means the same and names another. Keep one of them."],
    ),
    "a model beside a training": (
        training(), adding(node("BatchPredictor", "p", model="trained")),
        ["p.model: the document trains a model of its own, and names another. Remove the key, or the Trainer."],
    ),
    "a model that is not there": (
        applying(), setting("predictor", model="gone"), ["predictor.model = 'gone': neither "],
    ),
    "an unknown metric": (
        applying(), setting("metrics", metrics=["dise", "hd95"]),
        ["metrics.metrics: 'dise' is no metric. Did you mean 'dice'?"],
    ),
    "a turn": (
        applying(), setting("predictor", tta_transforms=["flip_x", "rotate45"]),
        ["predictor.tta_transforms = 'rotate45': Input should be 'flip_x', 'flip_y', 'flip_z', 'rotate90', "],
    ),
    "an unknown format": (
        applying(), setting("predictor", output_format="nift"),
        ["predictor.output_format = 'nift': Input should be 'nifti', 'png' or 'npy'"],
    ),
    "opacity beyond 1": (
        applying(), setting("pictures", overlay_alpha="40"), ["pictures.overlay_alpha = 40.0: must be at most 1."],
    ),
    "an unknown part of a document": (
        training(), lambda d: d.update(node=[]), ["node: unknown key. Did you mean 'nodes'?"],
    ),
    "an unknown part of a node": (
        training(), lambda d: d["nodes"][0].update(confg={}), ["loader.confg: unknown key. Did you mean 'config'?"],
    ),
    "settings that are no object": (
        training(), lambda d: d["nodes"][3].update(config=[1]),
        ["adam.config = [1]: must be an object with the settings of the node."],
    ),
    "a node that is no object": (
        training(), lambda d: d["nodes"].append("Trainer"),
        ["node 6: must be an object with 'type', 'name' and 'config'."],
    ),
    "no nodes": (
        training(), lambda d: d.update(nodes=[]),
        ["nodes: a workflow is an object with a list 'nodes' that is not empty."],
    ),
}  # fmt: skip


class TestMistakes:
    @pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
    def test_in_words(self, folder: Path, mistake: tuple[Document, Any, list[str]]) -> None:
        document = copy.deepcopy(mistake[0])
        mistake[1](document)
        reported = problems(document, folder)
        assert len(reported) == len(mistake[2])
        assert all(line.startswith(text) for line, text in zip(reported, mistake[2], strict=True)), reported

    def test_all_at_once(self, folder: Path) -> None:
        document = training()
        document["nodes"][1]["config"]["base_chanels"] = 3
        document["nodes"][3]["config"]["learning_rate"] = "fast"
        document["nodes"][0]["config"]["data_dir"] = "gone"
        document["links"] = [link("loader.train_loader", "trainer.model")]
        reported = problems(document, folder, "epoch=3")
        assert [line.split(":")[0] for line in reported] == [
            "net.base_chanels", "link 1", "epoch", "loader.data_dir = 'gone'", "adam.learning_rate = 'fast'",
        ]  # fmt: skip

    @pytest.mark.parametrize("document", [None, [], "text", {}, {"nodes": {}}])
    def test_no_document(self, folder: Path, document: Any) -> None:
        assert problems(document, folder) == ["nodes: a workflow is an object with a list 'nodes' that is not empty."]

    def test_a_setting_of_a_node_that_is_not_there(self, folder: Path) -> None:
        assert problems(training(), folder, "apply_tta=true") == ["apply_tta: unknown setting."]


class TestPaths:
    def test_from_here_first_then_from_the_document(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        current = tmp_path / "here"
        (current / "data").mkdir(parents=True)
        monkeypatch.chdir(current)
        assert read(applying(), folder).data.data_dir == str((current / "data").resolve())
        (current / "data").rmdir()
        assert read(applying(), folder).data.data_dir == str((folder / "data").resolve())

    def test_both_are_told_where_neither_is_there(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "data").rmdir()
        current = tmp_path / "here"
        current.mkdir()
        monkeypatch.chdir(current)
        (reported,) = problems(training(), folder)
        paths = [str(parent / "data") for parent in (current.resolve(), folder.resolve())]
        assert (
            reported
            == f"loader.data_dir = 'data': neither {paths[0]} nor {paths[1]} exists. Give the folder with --data."
        )

    def test_the_folder_that_jobs_share_need_not_exist(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        document = training()
        document["nodes"][0]["config"]["cache_dir"] = "shared"
        assert read(document, folder).data.cache_dir == str((tmp_path / "shared").resolve())

    def test_the_folder_of_the_command_line_replaces_that_of_the_loader(self, folder: Path) -> None:
        document = training()
        document["nodes"][0]["config"]["data_dir"] = "gone"
        data = read_workflow(document, folder, data_dir=folder / "other").data
        assert data.data_dir == str((folder / "other").resolve())
        assert asdict(data)["batch_size"] == 2


class TestWhereItWrites:
    """A document of somebody else writes into the output folder and nowhere else."""

    @pytest.mark.parametrize(
        "path",
        [
            "/tmp/away", "../away", "a/../../away", "..", "..\\away", "a\\..\\..\\b", "C:\\away", "C:away",
            "\\\\host\\share", "//host/share",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("name, key", [("predictor", "output_dir"), ("pictures", "output_dir")])
    def test_not_outside(self, folder: Path, name: str, key: str, path: str) -> None:
        document = applying()
        next(item for item in document["nodes"] if item["name"] == name)["config"][key] = path
        (problem,) = problems(document, folder)
        assert problem.startswith(f"{name}.{key} = {path!r}: lies outside the output folder.")

    @pytest.mark.parametrize("path", ["/tmp/away", "../..", "a\\..\\..\\b"])
    def test_no_checkpoints_outside(self, folder: Path, path: str) -> None:
        document = training()
        document["nodes"][-1]["config"]["checkpoint_dir"] = path
        reported = f"trainer.checkpoint_dir = {path!r}: lies outside the output folder."
        assert any(problem.startswith(reported) for problem in problems(document, folder))

    def test_not_by_a_setting_either(self, folder: Path) -> None:
        (problem,) = problems(applying(), folder, "visualizer.output_dir=../away")
        assert "lies outside the output folder" in problem

    @pytest.mark.parametrize("path", ["a", "a/b c/d", "./a", "..a", "a..b", "Jäger: süß"])
    def test_folders_inside_stay(self, folder: Path, path: str) -> None:
        document = applying()
        document["nodes"][1]["config"]["output_dir"] = path
        predictor = read(document, folder).predictor
        assert predictor is not None and predictor.output_dir == path

    def test_no_path_at_all(self, folder: Path) -> None:
        document = applying()
        document["nodes"][0]["config"]["data_dir"] = "a\0b"
        assert any("NUL" in line for line in problems(document, folder))
