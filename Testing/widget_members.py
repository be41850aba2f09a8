"""Lists what the module uses of Qt's, CTK's and Slicer's widgets, from its code and its .ui files, a line each:

    python Testing/widget_members.py [FILE.py or folder ...]

``QTableWidget.setItem`` is a member, ``QTableWidget.cellChanged(int,int)`` a signal that is connected. The type of an
object is told by where it comes from: a .ui file, a constructor, a method with one kind of result, a name in ``NAMED``.
"""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1] / "MedSegTrainer"
Member = tuple[str, str]  # class and member
NAMED = {
    "table": "QTableWidget", "label": "QLabel", "button": "QPushButton", "box": "QCheckBox", "combo": "QComboBox",
    "header": "QHeaderView", "selector": "qMRMLNodeComboBox", "editor": "QLineEdit", "radio": "QRadioButton",
    "frame": "QWidget", "uiWidget": "qMRMLWidget", "_frame": "QWidget", "_table": "QTableWidget", "_box": "QCheckBox",
    "layout": "QLayout", "form": "QFormLayout", "bar": "QScrollBar", "cell": "QTableWidgetItem", "widget": "QWidget",
}  # fmt: skip
GIVEN = {
    "layout": "QLayout", "horizontalHeader": "QHeaderView", "verticalHeader": "QHeaderView", "item": "QTableWidgetItem",
    "selectionModel": "QItemSelectionModel", "verticalScrollBar": "QScrollBar", "plotController": "QWidget",
    "plotView": "qMRMLPlotView", "addAction": "QAction", "font": "QFont", "QSettings": "QSettings",
    "selectedRows": "", "metaObject": "", "moduleManager": "",
}  # fmt: skip
PLAIN = {"Qt", "QUrl", "QFileInfo"}  # namespaces and values, no widgets


def members(files: Iterable[Path], ui_files: Iterable[Path]) -> set[Member]:
    """Of these Python files, with the widgets that are named in these .ui files, and what the latter set."""
    ui_files = list(ui_files)
    named, found = {}, set()
    for path in ui_files:
        for widget in ElementTree.parse(path).getroot().iter("widget"):
            kind = widget.get("class", "")
            named[widget.get("name", "")] = kind
            found |= {(kind, str(item.get("name"))) for item in widget.findall("property")}
    for path in files:
        found |= set(_in_code(ast.parse(path.read_text(encoding="utf-8")), named))
    return {(kind, name) for kind, name in found if kind and kind not in PLAIN and not name[:1].isupper()}


def _in_code(tree: ast.Module, named: dict[str, str]) -> Iterator[Member]:
    types = {**NAMED, **named}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and (kind := _kind(node.value, types)):
            types |= {target: kind for one in node.targets if (target := _last_name(one))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (kind := _kind(node.value, types)):
            yield kind, node.attr
        if isinstance(node, ast.Call):
            yield from _connected(node, types)


def _connected(call: ast.Call, types: dict[str, str]) -> Iterator[Member]:
    """The signal of ``widget.connect("signal(type)", slot)``; a name for it, as in a loop, is not followed."""
    function = call.func
    if not (isinstance(function, ast.Attribute) and function.attr in ("connect", "disconnect") and call.args):
        return
    first, kind = call.args[0], _kind(function.value, types)
    if kind and isinstance(first, ast.Constant) and re.fullmatch(r"\w+\(.*\)", str(first.value)):
        yield kind, str(first.value)


def _kind(node: ast.expr, types: dict[str, str]) -> str:
    """The class of an expression; '' where it is not known, or no widget."""
    if isinstance(node, ast.Call):
        name = _last_name(node.func)
        if isinstance(node.func, ast.Attribute) and _last_name(node.func.value) in ("qt", "ctk", "slicer"):
            return name if re.match(r"Q[A-Z]|ctk[A-Z]|q(MRML|Slicer)", name) else ""
        return GIVEN.get(name, "")
    if isinstance(node, ast.Attribute) and _last_name(node.value) in ("qt", "ctk") and node.attr[:1] in "Qc":
        return node.attr  # of a static function
    return types.get(_last_name(node), "")


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def main(arguments: list[str]) -> int:
    paths = [Path(item) for item in arguments] or [MODULE]
    files = [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    ui_files = [file for path in paths if path.is_dir() for file in sorted(path.rglob("*.ui"))]
    found = sorted(members(files, ui_files))
    print(*(f"{kind}.{name}" for kind, name in found), sep="\n")
    print(f"{len(found)} members of {len({kind for kind, _name in found})} classes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
