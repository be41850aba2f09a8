"""Workflow documents, nodes with settings and the links between them, to the configurations of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import Assignment, parse_config
from MedSegTrainerLib.config.settings import DataConfig, TrainConfig
from MedSegTrainerLib.errors import ConfigError, did_you_mean
from MedSegTrainerLib.metrics.metrics import metric_key
from MedSegTrainerLib.workflow.links import Link, Node, read_links
from MedSegTrainerLib.workflow.nodes import (
    NODE_TYPES,
    SECTIONS,
    TRAINING_SECTIONS,
    MetricsConfig,
    PredictorConfig,
    VisualizerConfig,
    keys_of,
    unknown_key,
)

DOCUMENT_KEYS = ("workflow", "nodes", "links")
NODE_KEYS = ("type", "name", "config")
# what the editors of such documents add: another word for the title, and where they draw a node
IGNORED_KEYS = ("name", "description", "position", "collapsed", "is_composite")
MANY = {
    "data": "a workflow has one loader",
    "network": "a workflow trains one network",
    "loss": "weigh several terms with loss_type 'combined' in one node",
    "optimizer": "a workflow has one optimizer",
    "trainer": "train in two documents, one after the other",
    "predictor": "apply models in two documents, one after the other",
    "metrics": "list all metrics in one node",
    "visualizer": "a workflow has one",
}
# settings that name a folder to write into
OUTPUT_FOLDERS = (("predictor", "output_dir"), ("visualizer", "output_dir"), ("trainer", "checkpoint_dir"))

Values = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """What a document asks for; all paths are absolute.

    train: None where it only applies a model. data: the settings of its loader. predictor: None where it only
    trains. part: the output of the loader that is predicted (train_loader, val_loader or test_loader).
    """

    title: str
    data: DataConfig
    train: TrainConfig | None = None
    predictor: PredictorConfig | None = None
    metrics: MetricsConfig | None = None
    visualizer: VisualizerConfig | None = None
    part: str = "test_loader"


def read_workflow(
    document: Any, folder: Path, assignments: Sequence[Assignment] = (), data_dir: Path | None = None
) -> Workflow:
    """The workflow in the content of a document.

    Relative paths are looked for in the current folder, then in ``folder``, that of the document; ``data_dir``
    replaces that of the loader. ``assignments`` are ``key=value`` as for ``with_settings``.
    Raises ConfigError with all problems.
    """
    problems: list[str] = []
    nodes = read_nodes(document, problems)
    links = read_links(document.get("links") if isinstance(document, dict) else None, nodes, problems)
    problems += _incomplete(nodes)
    values = section_values(nodes)
    if data_dir is not None:
        values.setdefault("data", {})["data_dir"] = str(data_dir)
    values = _assign(values, assignments, problems)
    problems += _outside(values)
    _find_paths(values, folder, problems)
    workflow = _parse(values, links, problems, {node.section: node.name for node in reversed(nodes)})
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    return replace(workflow, title=str(document.get("workflow") or document.get("name") or "Workflow"))


# --- Nodes ---


def read_nodes(document: Any, problems: list[str]) -> list[Node]:
    """The nodes of a document that can be understood; ``problems`` gets what is wrong with the others."""
    entries = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        problems.append("nodes: a workflow is an object with a list 'nodes' that is not empty.")
        return []
    allowed = (*DOCUMENT_KEYS, *IGNORED_KEYS)
    problems += [f"{key}: unknown key.{did_you_mean(key, DOCUMENT_KEYS)}" for key in document if key not in allowed]
    nodes = []
    for number, entry in enumerate(entries, start=1):
        node = read_node(entry, f"node {number}", problems)
        if node is not None:
            nodes.append(node)
    for name in sorted({node.name for node in nodes}):
        types = [node.type for node in nodes if node.name == name]
        if len(types) > 1:
            problems.append(f"{name}: {len(types)} nodes have this name ({', '.join(types)}). Give each its own.")
    for section in SECTIONS:
        names = [node.name for node in nodes if node.section == section]
        if len(names) > 1:
            problems.append(f"{' and '.join(names)}: {len(names)} nodes of one kind; {MANY[section]}.")
    return nodes


def read_node(entry: Any, label: str, problems: list[str]) -> Node | None:
    """One node; its name is its type where it has none. Keys that it cannot have are problems, and left out."""
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        problems.append(f"{label}: must be an object with 'type', 'name' and 'config'.")
        return None
    kind, name, values = entry["type"], str(entry.get("name") or entry["type"]), entry.get("config", {})
    allowed = (*NODE_KEYS, *IGNORED_KEYS)
    problems += [f"{name}.{key}: unknown key.{did_you_mean(key, NODE_KEYS)}" for key in entry if key not in allowed]
    if kind not in NODE_TYPES:
        problems.append(f"{name}: '{kind}' is no type of node.{did_you_mean(kind, NODE_TYPES)}")
        return None
    if not isinstance(values, dict):
        problems.append(f"{name}.config = {values!r}: must be an object with the settings of the node.")
        values = {}
    section = NODE_TYPES[kind].section
    own = keys_of(section)
    problems += [f"{name}.{key}: {unknown_key(key, section)}" for key in values if key not in own]
    return Node(name=name, type=kind, values={key: value for key, value in values.items() if key in own})


def section_values(nodes: Sequence[Node]) -> Values:
    """Section to its settings as written; the network's name is among them. Of two nodes the first counts."""
    values: Values = {}
    for node in nodes:
        named = {"type": node.type} if node.section == "network" else {}
        values.setdefault(node.section, {**named, **node.values})
    return values


def _incomplete(nodes: Sequence[Node]) -> list[str]:
    """What a document lacks, or has for nothing."""
    names = {node.section: node.name for node in nodes}
    problems = []
    if not nodes:
        return []
    if "data" not in names:
        problems.append("There is no MedicalSegmentationLoader: add one that says where the data are ('data_dir').")
    if "trainer" not in names and "predictor" not in names:
        problems.append("There is nothing to do: add a Trainer, or a BatchPredictor with a 'model'.")
    elif "trainer" not in names:
        problems += [
            f"{names[section]}: nothing is trained here. Add a Trainer, or remove this node: a model brings its own."
            for section in ("network", "loss", "optimizer")
            if section in names
        ]
    if "predictor" not in names:
        problems += [
            f"{names[section]}: there are no predictions to use. Add a BatchPredictor."
            for section in ("metrics", "visualizer")
            if section in names
        ]
    return problems


# --- Settings ---


def _assign(values: Values, assignments: Sequence[Assignment], problems: list[str]) -> Values:
    """The values with ``--set`` applied; a key that belongs to no node of the document is a problem."""
    sections = [*TRAINING_SECTIONS] if "trainer" in values else ["data"]
    sections += ["predictor", "metrics", "visualizer"] if "predictor" in values else []
    settings = make_dataclass("Settings", [(name, SECTIONS[name], field(default=None)) for name in sections])
    try:
        return with_settings(values, list(assignments), settings)
    except ConfigError as error:
        problems += error.problems
        return values


def _find_paths(values: Values, folder: Path, problems: list[str]) -> None:
    """Replaces what names a file or folder by its absolute path."""
    data = values.get("data", {})
    if isinstance(data.get("cache_dir"), str) and data["cache_dir"] and "\0" not in data["cache_dir"]:
        data["cache_dir"] = str(Path(data["cache_dir"]).resolve())  # made where it is not there
    for section, key in (
        ("data", "data_dir"),
        ("data", "split_file"),
        ("predictor", "model"),
        ("predictor", "checkpoint"),
    ):
        value = values.get(section, {}).get(key)
        if not isinstance(value, str) or not value or "\0" in value:
            continue  # what is no text for a path is reported where settings are read
        tried = list(dict.fromkeys(Path(base / value).resolve() for base in (Path.cwd(), folder)))
        existing = next((path for path in tried if path.exists()), None)
        if existing is None:
            hint = "Give the folder with --data." if key == "data_dir" else "Check the path."
            paths = " nor ".join(str(path) for path in tried)
            problems.append(f"{section}.{key} = {value!r}: {'neither ' * (len(tried) > 1)}{paths} exists. {hint}")
        else:
            values[section][key] = str(existing)


def _outside(values: Values) -> list[str]:
    """Folders to write into that lie elsewhere than in the output folder: whoever wrote the document cannot know what
    is there. As Windows reads them, too: there C:x and back\\slashes lead away."""
    problems = []
    for section, key in OUTPUT_FOLDERS:
        value = values.get(section, {}).get(key)
        if not isinstance(value, str):
            continue
        parts = PureWindowsPath(value)
        if parts.anchor or parts.drive or PurePosixPath(value).is_absolute() or ".." in parts.parts:
            problems.append(
                f"{section}.{key} = {value!r}: lies outside the output folder. Give the name of a folder in it, "
                "without '..'; where the output folder itself is says -o."
            )
    return problems


def _parse(values: Values, links: Sequence[Link], problems: list[str], names: dict[str, str]) -> Workflow:
    """The configurations of all sections; problems carry the name of the node they are of."""
    trains, predicts = "trainer" in values, "predictor" in values
    if not trains:
        _leave_all_cases_to_the_test(values)
    section_problems: list[str] = []
    training = {name: part for name, part in values.items() if name in TRAINING_SECTIONS}
    train: TrainConfig = _parsed(TrainConfig, training, "", section_problems) or TrainConfig()
    if "data" in names and not values["data"].get("data_dir"):
        section_problems.append("data.data_dir: give the folder with the labelled images, here or with --data.")
    predictor: PredictorConfig | None = _parsed(
        PredictorConfig, values.get("predictor"), "predictor.", section_problems
    )
    metrics: MetricsConfig | None = _parsed(MetricsConfig, values.get("metrics"), "metrics.", section_problems)
    section_problems += [f"metrics.metrics: {problem}" for problem in _unknown_metrics(metrics)]
    if predicts:
        section_problems += [f"predictor.model: {problem}" for problem in _model_problems(values["predictor"], trains)]
    visualizer: VisualizerConfig | None = _parsed(
        VisualizerConfig, values.get("visualizer"), "visualizer.", section_problems
    )
    problems[:] = [_with_node_name(line, names) for line in (*problems, *section_problems)]
    parts = [
        link.output.names[0] for link in links if link.target.section == "predictor" and link.input.type == "BATCH"
    ]
    return Workflow(
        title="",
        data=train.data,
        train=train if trains else None,
        predictor=predictor,
        metrics=metrics,
        visualizer=visualizer,
        part=parts[0] if parts else "test_loader",
    )


def _parsed(cls: type, values: Any, prefix: str, problems: list[str]) -> Any:
    """An instance of ``cls``, or None where there are no values or they are wrong."""
    if values is None:
        return None
    try:
        return parse_config(cls, values)
    except ConfigError as error:
        problems += [prefix + line for line in error.problems]
        return None


def _with_node_name(line: str, names: dict[str, str]) -> str:
    section, dot, rest = line.partition(".")
    return f"{names[section]}.{rest}" if dot and section in names else line


def _leave_all_cases_to_the_test(values: Values) -> None:
    """With a test share of 1 nothing is left for the default share of the validation."""
    data = values.get("data", {})
    if str(data.get("test_split")) in ("1", "1.0"):
        data.setdefault("val_split", 0)


def _unknown_metrics(metrics: MetricsConfig | None) -> list[str]:
    problems = []
    for name in metrics.metrics if metrics else []:
        try:
            metric_key(name)
        except ConfigError as error:
            problems += error.problems
    return problems


def _model_problems(predictor: dict[str, Any], trains: bool) -> list[str]:
    given = [predictor[key] for key in ("model", "checkpoint") if predictor.get(key)]
    if trains and given:
        return ["the document trains a model of its own, and names another. Remove the key, or the Trainer."]
    if len(given) > 1 and given[0] != given[1]:
        return ["'checkpoint' means the same and names another. Keep one of them."]
    if not trains and not given:
        return ["nothing says which model. Give the folder of a training as 'model', or add a Trainer."]
    return []
