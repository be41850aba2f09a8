"""Every JSON key of the training guide is a setting under its own name, and something in the library reads it.

Whether a setting is read is found in the syntax trees of the library: an attribute access counts where the class
of the object follows from annotations, as in ``config.trainer.gamma`` with ``config: TrainConfig``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import MedSegTrainerLib
from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.config.network_settings import chosen_settings
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.workflow.document import DOCUMENT_KEYS, NODE_KEYS, read_workflow
from MedSegTrainerLib.workflow.nodes import NODE_TYPES, SECTIONS
from MedSegTrainerLib.workflow.settings_files import settings_of

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT.parent / "shared" / "guide" / "TRAINING.md"
WORKFLOWS = ROOT / "Resources" / "workflows"
LIBRARY = Path(MedSegTrainerLib.__file__).parent
# They check, describe or carry settings of every name, so that an access there says nothing of their use.
NOT_READERS = {
    "config/settings.py", "config/job_settings.py", "config/parsing.py", "jobs/json_schema.py", "workflow/nodes.py",
    "workflow/links.py", "workflow/document.py", "workflow/settings_files.py",
}  # fmt: skip

# Setting -> a text for it that is not its default. With STRUCTURE these are all keys that the guide has.
KEYS = {
    "data.data_dir": "data/medical",
    "data.batch_size": "2",
    "data.image_size": "256",
    "data.augmentation": "false",
    "data.augmentation_strength": "strong",
    "network.in_channels": "1",
    "network.out_channels": "2",
    "network.base_channels": "32",
    "network.img_size": "96",
    "network.embed_dim": "24",
    "loss.loss_type": "dice",
    "loss.smooth": "0.5",
    "loss.class_weights": "[0.3, 0.7]",
    "loss.alpha": "0.75",
    "loss.gamma": "3.0",
    "loss.dice_weight": "0.4",
    "loss.ce_weight": "0.4",
    "loss.focal_weight": "0.5",
    "loss.boundary_weight": "0.2",
    "optimizer.optimizer_type": "SGD",
    "optimizer.learning_rate": "0.0001",
    "optimizer.betas": "[0.8, 0.99]",
    "optimizer.eps": "1e-7",
    "optimizer.weight_decay": "0.00001",
    "optimizer.momentum": "0.8",
    "optimizer.nesterov": "false",
    "trainer.lr_schedule": "step",
    "trainer.step_size": "40",
    "trainer.gamma": "0.2",
    "trainer.T_max": "200",
    "trainer.eta_min": "1e-5",
    "trainer.patience": "10",
    "trainer.factor": "0.25",
    "trainer.gradient_accumulation_steps": "4",
    "trainer.epochs": "300",
    "trainer.early_stopping": "true",
    "trainer.min_delta": "0.002",
    "trainer.mixed_precision": "true",
    "trainer.gradient_clip": "1.0",
    "trainer.gradient_clip_type": "value",
    "trainer.warmup_epochs": "10",
    "trainer.warmup_type": "linear",
    "trainer.checkpoint_dir": "checkpoints/unet",
    "trainer.save_frequency": "10",
    "trainer.save_best_only": "true",
    "trainer.monitor": "val_loss",
    "trainer.device": "cuda",
}
STRUCTURE = {"workflow", "nodes", "type", "name", "config"}
ONE_VALUE = {"trainer.warmup_type"}  # the guide knows no other than the default
# The network that has a setting, where the one of 'auto' has not.
NETWORK_OF = {"network.embed_dim": "SwinUNETR", "network.img_size": "SwinUNETR"}
CHOSEN_BY_NETWORK = {"network.base_channels", "network.embed_dim"}  # read by the names that ARCHITECTURES lists
WEIGHTS = {f"loss.{term.weight}": name for name, term in LOSS_TERMS.items()}  # read by the names that LOSS_TERMS lists


def json_blocks() -> list[str]:
    if not GUIDE.is_file():
        pytest.skip(f"needs the training guide in {GUIDE}")
    return re.findall(r"^ *```json\n(.*?)^ *```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def keys_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys_in(item)


def parsed(fragment: dict[str, Any]) -> TrainConfig:
    """As ``train --config FILE`` reads a file that holds this."""
    config: TrainConfig = parse_config(TrainConfig, with_settings(settings_of(fragment), []))
    return config


class TestTable:
    def test_holds_exactly_the_keys_of_the_guide(self) -> None:
        keys = {key for block in json_blocks() for key in keys_in(json.loads(block))}
        assert keys == {path.partition(".")[2] for path in KEYS} | STRUCTURE

    def test_a_key_of_two_meanings_stands_in_the_guide_with_both(self) -> None:
        paths = {
            f"{section}.{key}"
            for block in json_blocks()
            for section, part in settings_of(json.loads(block)).items()
            for key in part
        }
        assert paths - {"network.type"} == set(KEYS) - {"data.data_dir"}

    def test_structure_is_that_of_workflow_documents(self) -> None:
        assert {*DOCUMENT_KEYS, *NODE_KEYS} >= STRUCTURE


class TestKeys:
    @pytest.mark.parametrize("path", KEYS)
    def test_changes_the_configuration(self, path: str) -> None:
        section, _, key = path.partition(".")
        fixed = {"type": NETWORK_OF[path]} if path in NETWORK_OF else {}
        before = asdict(parse_config(TrainConfig, {"network": fixed}))
        values = {section: {key: KEYS[path], **(fixed if section == "network" else {})}}
        after = asdict(parse_config(TrainConfig, with_settings(values, [])))
        changed = {f"{s}.{k}" for s in after for k in after[s] if after[s][k] != before[s][k]}
        assert changed == set() if path in ONE_VALUE else {path}
        assert type(after[section][key]) is not str or isinstance(KEYS[path], str)

    @pytest.mark.parametrize("path", sorted(set(KEYS) - CHOSEN_BY_NETWORK - WEIGHTS.keys()))
    def test_is_read(self, path: str) -> None:
        section, _, key = path.partition(".")
        assert (SECTIONS[section].__name__, key) in READS, f"nothing in the library reads {path}"

    @pytest.mark.parametrize("path", sorted(CHOSEN_BY_NETWORK))
    def test_reaches_the_network(self, path: str) -> None:
        key = path.partition(".")[2]
        networks = [NETWORK_OF[path]] if path in NETWORK_OF else ["PlannedUNet", "UNet2D", "UNet3D"]
        for name in networks:
            config = parse_config(TrainConfig, {"network": {"type": name, key: KEYS[path]}})
            assert chosen_settings(config.network)[key] == int(KEYS[path])

    @pytest.mark.parametrize("path", sorted(WEIGHTS))
    def test_reaches_the_loss(self, path: str) -> None:
        given = {"loss_type": "combined", path.partition(".")[2]: KEYS[path]}
        config: TrainConfig = parse_config(TrainConfig, {"loss": given})
        assert config.loss.weights() == {WEIGHTS[path]: float(KEYS[path])}

    def test_one_that_nothing_reads_would_be_found(self) -> None:
        """The proof of the test itself: a field that only checks mention, and one of another class of its name."""
        source = """
        class TrainerConfig:
            unread: int
            patience: int
            gamma: float
        class LossConfig:
            gamma: float
        def learn(config: LossConfig, other: object) -> float:
            return config.gamma + other.unread
        """
        reads = reads_in([ast.parse(re.sub(r"^        ", "", source, flags=re.MULTILINE))])
        assert reads == {("LossConfig", "gamma")}

    def test_a_name_that_is_worked_out_is_one_of_those_in_the_function(self) -> None:
        source = """
class DataConfig:
    seed: int
    fold: int
def both(config: DataConfig) -> list[int]:
    return [getattr(config, name) for name in ("seed", "other")]
"""
        assert reads_in([ast.parse(source)]) == {("DataConfig", "seed")}


class TestBlocks:
    def test_each_is_taken_as_a_configuration_file(self) -> None:
        blocks = [json.loads(block) for block in json_blocks()]
        assert len(blocks) == 27
        for block in blocks:
            assert parsed(block) != TrainConfig() or block == {"mixed_precision": "auto"}

    def test_each_document_is_a_workflow(self, tmp_path: Path) -> None:
        documents = [document for document in map(json.loads, json_blocks()) if "nodes" in document]
        assert len(documents) == 3
        for document in documents:
            workflow = read_workflow(document, tmp_path, data_dir=tmp_path)
            assert workflow.title == document["workflow"]
            assert workflow.train is not None
            types = {node["type"] for node in document["nodes"]}
            assert workflow.train.network.type in types & NODE_TYPES.keys()

    @pytest.mark.parametrize("name", ["unet", "swin_unetr", "small_dataset"])
    def test_the_shipped_documents_are_those_of_the_guide(self, name: str) -> None:
        shipped = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
        guide = [json.loads(block) for block in json_blocks() if '"nodes"' in block]
        for document in (shipped, *guide):
            document["nodes"][0]["config"].pop("data_dir")
        assert shipped in guide


# --- Which settings the library reads ---


class Types:
    """Classes by the names and attributes that annotations give them."""

    def __init__(self, trees: list[ast.Module]) -> None:
        self.fields: dict[str, dict[str, str]] = {}
        self.returns: dict[str, str] = {}
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self.fields.setdefault(node.name, {})
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self._read_fields(node)
                elif isinstance(node, ast.FunctionDef):
                    self.add(self.returns, node.name, node.returns)

    def _read_fields(self, node: ast.ClassDef) -> None:
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                self.fields[node.name].setdefault(item.target.id, "")
                self.add(self.fields[node.name], item.target.id, item.annotation)

    def add(self, table: dict[str, str], name: str, annotation: ast.expr | None) -> None:
        type_name = self.annotated(annotation)
        if type_name is not None:
            table[name] = type_name

    def annotated(self, annotation: ast.expr | None) -> str | None:
        """The class that an annotation names, also as one alternative (``LossConfig | None``)."""
        if isinstance(annotation, ast.BinOp):
            return self.annotated(annotation.left) or self.annotated(annotation.right)
        return annotation.id if isinstance(annotation, ast.Name) and annotation.id in self.fields else None

    def of(self, node: ast.expr, names: dict[str, str]) -> str | None:
        if isinstance(node, ast.Name):
            return names.get(node.id)
        if isinstance(node, ast.Attribute):
            return self.fields.get(self.of(node.value, names) or "", {}).get(node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "replace" and node.args:
                return self.of(node.args[0], names)
            return node.func.id if node.func.id in self.fields else self.returns.get(node.func.id)
        return None


def reads_in(trees: list[ast.Module], classes: Sequence[ast.Module] = ()) -> set[tuple[str, str]]:
    """(class, attribute) of every access in ``trees`` whose class is known; ``classes`` are only declared."""
    types = Types([*trees, *classes])
    reads: set[tuple[str, str]] = set()
    for tree in trees:
        for owner, scope in _scopes(tree):
            names = _names(scope, types, owner)
            for node in ast.walk(scope):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    type_name = types.of(node.value, names)
                    if type_name is not None:
                        reads.add((type_name, node.attr))
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
                    type_name = types.of(node.args[0], names)
                    if type_name is not None:
                        reads |= {(type_name, name) for name in _texts(scope) & types.fields[type_name].keys()}
    return reads


def _texts(scope: ast.AST) -> set[str]:
    """The texts in a function: what ``getattr`` with a name that is worked out can mean."""
    return {node.value for node in ast.walk(scope) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _scopes(tree: ast.Module) -> Iterator[tuple[str | None, ast.AST]]:
    """Functions with the class they are of, and tables of lambdas at the top of a module."""
    for item in tree.body:
        if isinstance(item, ast.ClassDef):
            yield from ((item.name, part) for part in item.body if isinstance(part, ast.FunctionDef))
        elif isinstance(item, (ast.FunctionDef, ast.AnnAssign)):
            yield None, item


def _names(scope: ast.AST, types: Types, owner: str | None) -> dict[str, str]:
    names = {"self": owner} if owner else {}
    callables = [
        part.slice.elts[0].elts
        for part in ast.walk(scope.annotation if isinstance(scope, ast.AnnAssign) else ast.Pass())
        if isinstance(part, ast.Subscript)
        and isinstance(part.slice, ast.Tuple)
        and isinstance(part.slice.elts[0], ast.List)
    ]
    for node in ast.walk(scope):
        pairs: Iterable[tuple[ast.arg, ast.expr | None]]
        if isinstance(node, ast.Lambda) and callables:
            pairs = zip(node.args.args, callables[0], strict=False)
        elif isinstance(node, ast.FunctionDef):
            pairs = ((argument, argument.annotation) for argument in (*node.args.args, *node.args.kwonlyargs))
        else:
            continue
        for argument, annotation in pairs:
            types.add(names, argument.arg, annotation)
    for _ in range(2):  # a name may be bound to another that is bound further down the walk
        for target, value in _bindings(scope):
            type_name = types.of(value, names)
            if type_name is None:
                continue
            if isinstance(target, ast.Name):
                names[target.id] = type_name
            elif isinstance(target, ast.Attribute) and owner and isinstance(target.value, ast.Name):
                types.fields[owner].setdefault(target.attr, type_name)
    return names


def _bindings(scope: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    for node in ast.walk(scope):
        if not isinstance(node, ast.Assign):
            continue
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield from zip(target.elts, value.elts, strict=True)
        else:
            yield target, value


def _library_reads() -> set[tuple[str, str]]:
    """Reads of settings by the library; a method of a section reads where somebody reads the method."""
    config = ast.parse((LIBRARY / "config" / "settings.py").read_text(encoding="utf-8"))
    paths = [path for path in sorted(LIBRARY.rglob("*.py")) if path.relative_to(LIBRARY).as_posix() not in NOT_READERS]
    reads = reads_in([ast.parse(path.read_text(encoding="utf-8")) for path in paths], [config])
    for node in config.body:
        if isinstance(node, ast.ClassDef):
            node.body = [
                item for item in node.body if not isinstance(item, ast.FunctionDef) or (node.name, item.name) in reads
            ]
    return reads | reads_in([config])


READS = _library_reads()
