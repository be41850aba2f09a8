"""Runs a file of Slicer's own tests over the stand-in: ``python slicer_tests.py FILE``, with SLICER_PY_SOURCE set.

Then Slicer's own Python layer is used in place of the stand-in's, so the tests show whether scene, nodes, widgets
and signals behave as that layer expects.
"""

from __future__ import annotations

import importlib.util
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOT_HERE = ("qMRMLSubjectHierarchyComboBox", "qMRMLSubjectHierarchyTreeView")  # imported by name
# QColor: Slicer hands a plain integer where PySide wants the enumeration.
LEFT_OUT = ("SubjectHierarchy", "QColor")


def main() -> int:
    package = _load("slicer_standin", Path(__file__).with_name("__init__.py"))
    importlib.import_module(f"{package.__name__}.boot").boot()
    import slicer

    for name in NOT_HERE:
        setattr(slicer, name, type(name, (), {}))
    path = Path(sys.argv[1])
    suite = unittest.defaultTestLoader.loadTestsFromModule(_load(path.stem, path))
    wanted = unittest.TestSuite(test for test in _flat(suite) if not any(word in test.id() for word in LEFT_OUT))
    result = unittest.TextTestRunner().run(wanted)
    return 0 if result.wasSuccessful() and result.testsRun else 1


def _load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _flat(suite: Any) -> Iterator[Any]:
    for item in suite:
        yield from _flat(item) if isinstance(item, unittest.TestSuite) else (item,)


if __name__ == "__main__":
    raise SystemExit(main())
