"""The links of a workflow document: every one is checked, and every problem names both its ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from MedSegTrainerLib.errors import did_you_mean
from MedSegTrainerLib.workflow.nodes import NODE_TYPES, NodeType, Port

LINK_KEYS = ("source_node", "source_port", "target_node", "target_port")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of a document that was understood; ``values`` are its settings as written."""

    name: str
    type: str
    values: dict[str, Any]

    @property
    def kind(self) -> NodeType:
        return NODE_TYPES[self.type]

    @property
    def section(self) -> str:
        return self.kind.section


@dataclass(frozen=True, kw_only=True)
class Link:
    source: Node
    output: Port
    target: Node
    input: Port

    @property
    def start(self) -> str:
        return f"{self.source.name}.{self.output.names[0]}"

    @property
    def end(self) -> str:
        return f"{self.target.name}.{self.input.names[0]}"


def read_links(entries: Any, nodes: Sequence[Node], problems: list[str]) -> list[Link]:
    """The links between the nodes; without any, the nodes are connected by their types and the result is empty.

    What is wrong is added to ``problems``: ends that are not there, types that differ, inputs linked twice or not
    at all.
    """
    if entries in (None, []):
        return []
    if not isinstance(entries, list):
        problems.append(f"links: must be a list of links, not {type(entries).__name__}.")
        return []
    before = len(problems)
    parsed = [_read_link(entry, f"link {number}", nodes, problems) for number, entry in enumerate(entries, start=1)]
    links = [link for link in parsed if link is not None]
    for end in sorted({link.end for link in links}):
        starts = [link.start for link in links if link.end == end]
        if len(starts) > 1:
            problems.append(f"{end}: {len(starts)} links lead into it, from {' and '.join(starts)}. Keep one.")
    if len(problems) == before:  # else an end that is only misspelt would be missed a second time
        problems += _missing(links, nodes)
    return links


def _read_link(entry: Any, label: str, nodes: Sequence[Node], problems: list[str]) -> Link | None:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in LINK_KEYS):
        problems.append(f"{label}: give {', '.join(LINK_KEYS)}, each as text.")
        return None
    problems += [f"{label}.{key}: unknown key.{did_you_mean(key, LINK_KEYS)}" for key in entry if key not in LINK_KEYS]
    source = _end(entry["source_node"], entry["source_port"], "outputs", label, nodes, problems)
    target = _end(entry["target_node"], entry["target_port"], "inputs", label, nodes, problems)
    if source is None or target is None:
        return None
    link = Link(source=source[0], output=source[1], target=target[0], input=target[1])
    if link.output.type != link.input.type:
        problems.append(
            f"{label}: {link.start} gives {link.output.type} and {link.end} takes {link.input.type}. "
            "Only ports of one type can be linked."
        )
        return None
    if not _fits(link.output, link.input):
        sources = " or ".join(link.input.sources)
        problems.append(f"{label}: {link.start} makes no sense in {link.end}, which takes {sources}.")
        return None
    return link


def _end(
    name: str, port: str, side: str, label: str, nodes: Sequence[Node], problems: list[str]
) -> tuple[Node, Port] | None:
    node = next((node for node in nodes if node.name == name), None)
    if node is None:
        problems.append(f"{label}: no node is named '{name}'.{did_you_mean(name, {node.name for node in nodes})}")
        return None
    ports: tuple[Port, ...] = getattr(node.kind, side)
    match = next((item for item in ports if port in item.names), None)
    if match is None:
        port_names = [item.names[0] for item in ports]
        does = "gives" if side == "outputs" else "takes"
        problems.append(f"{label}: {name} ({node.type}) {does} no '{port}'.{did_you_mean(port, port_names)}")
        return None
    return node, match


def _fits(output: Port, target: Port) -> bool:
    return output.type == target.type and (not target.sources or output.names[0] in target.sources)


def _missing(links: Sequence[Link], nodes: Sequence[Node]) -> list[str]:
    """Inputs that nothing leads into, though the document has what they need."""
    linked = {link.end for link in links}
    problems = []
    for node in nodes:
        for port in node.kind.inputs:
            end = f"{node.name}.{port.names[0]}"
            if not port.needed or end in linked or (port.type == "MODEL" and _has_model(node)):
                continue
            offers = [
                f"{n.name}.{o.names[0]}" for n in nodes if n is not node for o in n.kind.outputs if _fits(o, port)
            ]
            if offers:
                problems.append(f"{end}: nothing is linked to it. Add a link from {offers[0]}, or leave out all links.")
    return problems


def _has_model(node: Node) -> bool:
    return bool(node.values.get("model") or node.values.get("checkpoint"))
