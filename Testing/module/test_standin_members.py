"""Each member of a widget that the module uses has a test of how it behaves."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import ctk
import pytest
import qt
import slicer
import test_conformance_members as conformance

pytest.importorskip("slicer_standin.failures", reason="the classes of the application cannot be asked for their bases")

SCRIPT = Path(__file__).resolve().parents[1] / "widget_members.py"
# of the module's own classes, whose variables are called like those of widgets
NOT_A_WIDGETS = {"QAction.checked", "QTableWidget.items", "QTableWidgetItem.name", "QWidget.find"}


def load_script() -> Any:
    spec = importlib.util.spec_from_file_location("widget_members", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["widget_members"] = module
    spec.loader.exec_module(module)
    return module


def class_of(name: str) -> Any:
    return next((getattr(home, name) for home in (qt, ctk, slicer) if hasattr(home, name)), None)


def declaring(kind: Any, member: str) -> str:
    """The name of the class that declares it; '' where the class has it not."""
    plain, found = member.partition("(")[0], ""
    for base in kind.__mro__:
        signals = {signature.partition("(")[0] for signature in vars(base).get("SIGNALS", {})}
        if plain in vars(base) or plain in signals or (plain == "name" and base is kind):
            found = base.__name__
    return _of_qt(kind, member) or found


def _of_qt(kind: Any, member: str) -> str:
    """As Qt tells it of an object: the outermost class that has the property or the signal."""
    try:
        widget, found = kind(), ""
        meta = widget.metaObject()
    except (NotImplementedError, TypeError, ValueError, AttributeError):  # abstract, or no object of Qt's
        return ""
    while meta is not None:
        if meta.indexOfProperty(member) >= 0 or meta.indexOfSignal(member) >= 0:
            found = meta.className()
        meta = meta.superClass()
    return found


def used_members() -> set[str]:
    script = load_script()
    listed = script.members(sorted(script.MODULE.rglob("*.py")), sorted(script.MODULE.rglob("*.ui")))
    classes = sorted(name for name in {kind for kind, _member in listed} if class_of(name))
    found = set()
    for kind, member in listed:
        if member in ("connect", "disconnect"):  # used by every test
            continue
        candidates = [kind, *classes] if class_of(kind) else classes
        owner = next(filter(None, (declaring(class_of(name), member) for name in candidates)), "")
        found |= {f"{owner}.{member}"} if owner else set()
    return found - NOT_A_WIDGETS


def test_each_used_member_has_a_test(scene):
    used, tested = used_members(), conformance.TESTED | conformance.PROPERTIES.keys()
    assert len(used) > 150
    assert used - tested == set(), "used by the module, and not tested in test_conformance_members.py"
    print(f"{len(used)} members are used, {len(tested)} are tested")
