"""The links of a workflow document: which are right, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest

from MedSegTrainerLib.workflow.links import Node, read_links

NODES = [
    Node(name=name, type=kind, values={})
    for name, kind in {
        "loader": "MedicalSegmentationLoader", "net": "UNet2D", "loss": "LossFunction", "adam": "Optimizer",
        "trainer": "Trainer",
    }.items()
]  # fmt: skip


def link(start: str, end: str) -> dict[str, str]:
    (source_node, source_port), (target_node, target_port) = start.split("."), end.split(".")
    return {
        "source_node": source_node, "source_port": source_port, "target_node": target_node, "target_port": target_port,
    }  # fmt: skip


LINKS = [
    link("loader.train_loader", "trainer.train_loader"),
    link("net.model", "trainer.model"),
    link("net.model", "adam.model"),
    link("loss.loss", "trainer.loss"),
    link("adam.optimizer", "trainer.optimizer"),
]


def problems(links: Any) -> list[str]:
    messages: list[str] = []
    read_links(links, NODES, messages)
    return messages


@pytest.mark.parametrize("links", [None, [], LINKS])
def test_nothing_is_said_of_right_ones(links: Any) -> None:
    assert problems(links) == []


def test_ports_under_their_other_names() -> None:
    links = [
        link("loader.train_loader", "trainer.dataloader"),
        link("net.model", "trainer.model"),
        link("loss.loss_fn", "trainer.loss_fn"),
        link("adam.optimizer", "trainer.optimizer"),
    ]
    assert problems(links) == []


@pytest.mark.parametrize(
    "changed, problem",
    [
        (
            link("loader.train_loader", "trainer.model"),
            "link 1: loader.train_loader gives BATCH and trainer.model takes MODEL. "
            "Only ports of one type can be linked.",
        ),
        (
            link("loss.loss", "trainer.optimizer"),
            "link 1: loss.loss gives LOSS and trainer.optimizer takes OPTIMIZER. "
            "Only ports of one type can be linked.",
        ),
        (
            link("loader.test_loader", "trainer.train_loader"),
            "link 1: loader.test_loader makes no sense in trainer.train_loader, which takes train_loader.",
        ),
        (
            link("lader.train_loader", "trainer.train_loader"),
            "link 1: no node is named 'lader'. Did you mean 'loader'?",
        ),
        (
            link("loader.train_lader", "trainer.train_loader"),
            "link 1: loader (MedicalSegmentationLoader) gives no 'train_lader'. Did you mean 'train_loader'?",
        ),
        (
            link("loader.train_loader", "trainer.los"),
            "link 1: trainer (Trainer) takes no 'los'. Did you mean 'loss'?",
        ),
        (
            link("trainer.loss", "trainer.loss"),
            "link 1: trainer (Trainer) gives no 'loss'. Known: trained_model.",
        ),
        (
            {"source_node": "loader"},
            "link 1: give source_node, source_port, target_node, target_port, each as text.",
        ),
        (
            {**LINKS[0], "source_prt": "x"},
            "link 1.source_prt: unknown key. Did you mean 'source_port'?",
        ),
    ],
)  # fmt: skip
def test_wrong_ones(changed: dict[str, str], problem: str) -> None:
    assert problems([changed, *LINKS[1:]]) == [problem]


def test_an_input_linked_twice() -> None:
    links = [*LINKS, link("net.model", "trainer.model")]
    problem = "trainer.model: 2 links lead into it, from net.model and net.model. Keep one."
    assert problems(links) == [problem]


@pytest.mark.parametrize(
    "left_out, problem",
    [
        (0, "trainer.train_loader: nothing is linked to it. Add a link from loader.train_loader"),
        (1, "trainer.model: nothing is linked to it. Add a link from net.model"),
        (3, "trainer.loss: nothing is linked to it. Add a link from loss.loss"),
        (4, "trainer.optimizer: nothing is linked to it. Add a link from adam.optimizer"),
    ],
)  # fmt: skip
def test_an_input_linked_to_nothing(left_out: int, problem: str) -> None:
    links = [item for index, item in enumerate(LINKS) if index != left_out]
    assert problems(links) == [f"{problem}, or leave out all links."]


def test_no_list() -> None:
    assert problems({"a": 1}) == ["links: must be a list of links, not dict."]


def test_a_model_of_a_file_needs_no_link() -> None:
    nodes = [NODES[0], Node(name="p", type="BatchPredictor", values={"model": "job"})]
    messages: list[str] = []
    (parsed,) = read_links([link("loader.test_loader", "p.dataloader")], nodes, messages)
    assert (parsed.start, parsed.end, messages) == ("loader.test_loader", "p.test_loader", [])
