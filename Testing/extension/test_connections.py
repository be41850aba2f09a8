"""Data never leave the computer, as the README says: nothing in the sources opens a connection."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import package
import pytest

ROOT = package.ROOT
NETWORK = {
    "aiohttp", "asyncio", "ftplib", "http", "httpx", "imaplib", "paramiko", "poplib", "requests", "smtplib", "socket",
    "socketserver", "ssl", "telnetlib", "urllib", "urllib3", "websockets", "xmlrpc",
}  # fmt: skip
HARMLESS = {"socket.gethostname", "urllib.request.getproxies", "urllib.parse.quote", "urllib.parse.unquote"}
OPENING_ELSEWHERE = re.compile(r"QNetwork|QTcpSocket|openRemote|torch\.hub|download_url|load_state_dict_from_url")


def sources() -> list[Path]:
    return sorted([*(ROOT / "MedSegTrainerLib").rglob("*.py"), *(ROOT / "MedSegTrainer").rglob("*.py")])


def network_uses(source: str) -> Iterator[str]:
    """Full names of what the source takes from modules that can reach another computer."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in NETWORK:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [alias.asname or alias.name for alias in node.names if alias.name.split(".")[0] in NETWORK]
            for name in names:
                yield from attributes(tree, name) or [name]


def attributes(tree: ast.AST, module: str) -> list[str]:
    """``module.function`` for each use of an imported module."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return [ast.unparse(node) for node in nodes if ast.unparse(node.value) == module]


def test_the_sources_take_nothing_from_the_network() -> None:
    uses = {f"{path.relative_to(ROOT)}: {use}" for path in sources()
            for use in network_uses(path.read_text(encoding="utf-8")) if use not in HARMLESS}  # fmt: skip
    assert len(sources()) > 100 and not uses


def test_neither_do_qt_and_pytorch_for_them() -> None:
    opening = [path.name for path in sources() if OPENING_ELSEWHERE.search(path.read_text(encoding="utf-8"))]
    assert not opening


def test_addresses_opened_by_the_panel_are_files_of_this_computer() -> None:
    calls = [call for path in sources() for call in re.findall(r"openUrl\((.*)\)", path.read_text(encoding="utf-8"))]
    assert calls and all(call.startswith("qt.QUrl.fromLocalFile(") for call in calls)


def test_reports_load_nothing() -> None:
    """Their browser is told so, and the templates have no address to load from."""
    templates = sorted((ROOT / "MedSegTrainerLib").rglob("*.j2"))
    assert templates
    assert any("default-src 'none'" in template.read_text(encoding="utf-8") for template in templates)
    for template in templates:
        assert not re.search(r"(src|href)=[\"']?(https?:)?//", template.read_text(encoding="utf-8")), template.name


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("import socket\nsocket.create_connection(('there', 80))", ["socket.create_connection"]),
        ("import urllib.request\nurllib.request.urlopen(address)", ["urllib.request.urlopen"]),
        ("from http.client import HTTPSConnection", ["http.client.HTTPSConnection"]),
        ("def later():\n    import requests as r\n    return r.post(address)", ["r.post"]),
        ("import socket\nsocket.gethostname()", ["socket.gethostname"]),
        ("import ssl", ["ssl"]),
        ("import os", []),
    ],
)
def test_a_use_is_seen(source: str, uses: list[str]) -> None:
    assert list(network_uses(source)) == uses
