"""Who imports whom, read from the sources, and that loading the module imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import package
import pytest

ROOT = package.ROOT
MODULE_FILE = ROOT / "MedSegTrainer" / "MedSegTrainer.py"
LIBRARY, UI = ROOT / "MedSegTrainerLib", ROOT / "MedSegTrainer" / "MedSegTrainerUI"
OPEN_TO_THE_MODULE = (
    "atomic", "cache_folder", "classes", "config", "duration", "errors", "events", "files", "event_lines", "findings",
    "job", "job_lock", "job_logging", "job_status", "model.any_description", "model.before_after",
    "model.checkpoint_file", "model.description", "model.nnunet_architecture", "model.nnunet_folder",
    "model.nnunet_labels", "model.nnunet_plans", "model.nnunet_summary", "processes", "results_file",
)  # fmt: skip
OF_SLICER = {"slicer", "qt", "ctk", "vtk", "mrml", "sitkUtils", "teem", "PythonQt"}
FOREIGN_TO_SLICER = {
    "torch", "monai", "einops", "safetensors", "pydantic", "typer", "rich", "jinja2", "matplotlib", "tensorboard",
    "nibabel", "pandas", "psutil", "PIL",
}  # fmt: skip
HEAVY = FOREIGN_TO_SLICER | {"numpy", "scipy", "SimpleITK", "pydicom", "highdicom", "vtk"}


def imports(tree: ast.AST) -> Iterator[str]:
    """The full name of whatever is imported below ``tree``: ``a.b`` of ``import a.b`` and ``from a import b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole package"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def sources(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts]


def importers(paths: list[Path], packages: set[str]) -> set[str]:
    """``file name`` for each import of one of the ``packages``."""
    return {f"{path.name} {name}" for path in paths for name in imports(parse(path)) if name.split(".")[0] in packages}


def is_open(name: str) -> bool:
    """Whether the module may import what has this full name: something open to it, or a package around that."""
    below = name.partition(".")[2]
    return below == "__version__" or any(
        below == one or below.startswith(f"{one}.") or one.startswith(f"{below}.") for one in OPEN_TO_THE_MODULE
    )


def at_file_scope(tree: ast.Module) -> ast.Module:
    """The statements that run when the file is imported; blocks such as ``try`` and ``class`` are among them, and those
    for the type checker alone are not."""

    class WithoutFunctions(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        visit_AsyncFunctionDef = visit_FunctionDef

        def visit_If(self, node: ast.If) -> ast.AST | None:
            is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            return None if is_for_types else self.generic_visit(node)

    return WithoutFunctions().visit(tree)


class TestLibrary:
    def test_knows_nothing_of_slicer(self) -> None:
        assert sources(LIBRARY)
        found = importers(sources(LIBRARY), OF_SLICER | {"MedSegTrainer", "MedSegTrainerUI"})
        assert not found

    @pytest.mark.parametrize("name", OPEN_TO_THE_MODULE)
    def test_what_slicer_imports_needs_the_standard_library_only(self, name: str) -> None:
        """In an interpreter without site packages, and with every other file of the library it pulls in."""
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
            f"import MedSegTrainerLib.{name}\n"
            "print(*sorted(m for m in set(sys.modules) - before if m.startswith('MedSegTrainerLib.')))"
        )
        done = subprocess.run([sys.executable, "-ISc", code, ROOT], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not [loaded for loaded in done.stdout.split() if not is_open(loaded)]


class TestModule:
    def test_imports_of_the_library_only_what_is_open_to_it(self) -> None:
        found = importers([MODULE_FILE, *sources(UI)], {"MedSegTrainerLib"})
        assert found, "the module uses the library"
        assert not {line for line in found if not is_open(line.split()[1])}

    def test_imports_nothing_that_slicer_lacks(self) -> None:
        assert not importers([MODULE_FILE, *sources(UI)], FOREIGN_TO_SLICER)

    def test_module_file_imports_nothing_heavy_when_slicer_loads_it(self) -> None:
        found = set(imports(at_file_scope(parse(MODULE_FILE)))) - {"MedSegTrainerUI.library_path"}  # finds the library
        assert not {name.split(".")[0] for name in found} & (HEAVY | {"MedSegTrainerLib", "MedSegTrainerUI"})

    def test_sample_data_is_registered_without_numpy(self) -> None:
        """It happens at the start of Slicer, with every file that it pulls in."""
        for name in ("samples/sample_data.py", "samples/__init__.py", "library_path.py", "__init__.py"):
            assert not {found.split(".")[0] for found in imports(at_file_scope(parse(UI / name)))} & HEAVY

    def test_functions_are_not_file_scope(self) -> None:
        tree = at_file_scope(ast.parse("import a\ntry:\n import b\nexcept E:\n pass\ndef f():\n import c"))
        assert list(imports(tree)) == ["a", "b"]

    def test_what_only_the_type_checker_reads_is_not_file_scope(self) -> None:
        tree = at_file_scope(ast.parse("if TYPE_CHECKING:\n import a\nif x:\n import b"))
        assert list(imports(tree)) == ["b"]


class TestModuleFile:
    def test_is_ascii_and_no_command_line_program(self) -> None:
        """Slicer reads it in the encoding of the platform, and takes a file with ``#!`` for a program."""
        content = MODULE_FILE.read_bytes()
        assert content.isascii()
        assert not content.startswith(b"#!")

    def test_is_the_only_module_that_slicer_discovers_here(self) -> None:
        """A folder dropped on Slicer is searched for files with a class of their own name on the bare base class."""
        found = []
        for path in sources(ROOT / "MedSegTrainer") + sources(ROOT / "Testing"):
            if any((folder / "__init__.py").exists() for folder in path.relative_to(ROOT).parents):
                continue  # what lies in a package is not searched
            for node in parse(path).body:
                is_module = isinstance(node, ast.ClassDef) and node.name == path.stem
                if is_module and any(isinstance(b, ast.Name) and b.id == "ScriptedLoadableModule" for b in node.bases):
                    found.append(path)
        assert found == [MODULE_FILE]

    def test_has_its_four_classes(self) -> None:
        names = {node.name for node in parse(MODULE_FILE).body if isinstance(node, ast.ClassDef)}
        assert {"MedSegTrainer", "MedSegTrainerWidget", "MedSegTrainerLogic", "MedSegTrainerTest"} <= names

    def test_packages_beside_it_have_names_of_their_own(self) -> None:
        """All extensions share one path: a package called ``utils`` would hide another's."""
        folders = [path.parent.name for path in (ROOT / "MedSegTrainer").glob("*/__init__.py")]
        assert folders == ["MedSegTrainerUI"]
