"""Stand-ins for what a build loads: a wheel made here, and a library whose self-test says what the test wants."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

REPORT = {
    "ok": True, "message": "PyTorch 2.13.0 trains on NVIDIA GeForce RTX 4070 (12 GB) in bfloat16.", "asked": "auto",
    "device": "cuda:0", "device_name": "NVIDIA GeForce RTX 4070 (12 GB)", "precision": "bfloat16", "warnings": [],
    "devices": [{"name": "cuda:0", "description": "NVIDIA GeForce RTX 4070 (12 GB)", "memory_bytes": 12},
                {"name": "cpu", "description": "CPU with 8 threads", "memory_bytes": None}],
    "torch": "2.13.0+cu130", "cuda": "13.0", "monai": "1.6.1", "python": "3.12.4", "library": "0.1.0",
}  # fmt: skip
MAIN = """
import json, pathlib, sys
words = sys.argv[1:]
report = json.loads(pathlib.Path(__file__).with_name('report.json').read_text())
print('self-test on', words[words.index('--device') + 1])
if 'crash' in report:
    raise ModuleNotFoundError("No module named 'typer'", name='typer')
report['asked'] = words[words.index('--device') + 1]
pathlib.Path(words[words.index('--json') + 1]).write_text(json.dumps(report))
sys.exit(0 if report['ok'] else 1)
"""


def make_library(folder: Path, **changes: Any) -> Path:
    """A folder with a ``MedSegTrainerLib`` that knows ``self-test`` only; ``changes`` of its report."""
    package = folder / "MedSegTrainerLib"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(MAIN)
    (package / "report.json").write_text(json.dumps({**REPORT, **changes}))
    return folder


def make_requirements(folder: Path, name: str = "tinypackage") -> Path:
    """A list of one package, which lies beside it as a wheel."""
    wheel = make_wheel(folder, name)
    requirements = folder / "requirements.txt"
    requirements.write_text(f"# a comment\n{name} @ {wheel.as_uri()}\n", encoding="utf-8")
    return requirements


def make_wheel(folder: Path, name: str, tags: str = "py3-none-any", content: str = "WORD = 'here'\n") -> Path:
    """A package in version 1.0 that is one file."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-1.0-{tags}.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tags}\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return wheel
