"""The catalogues of the module's texts are complete and up to date, and the script that keeps them so works."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import package
import pytest
import translations
from translations import Catalogue, Entry

CATALOGUES = sorted(translations.FOLDER.glob("*.ts"))
UI = package.ROOT / "MedSegTrainer" / "MedSegTrainerUI"
SHOWN = ("text", "toolTip", "placeholderText", "noneDisplay", "title", "specialValueText", "prefix", "suffix")
SHOWING = (
    "setText", "setToolTip", "addItem", "addAction", "addRow", "setWindowTitle", "setHorizontalHeaderLabels", "tell",
    "show_message", "allow", "QLabel", "QPushButton", "QCheckBox", "showStatusMessage", "confirmOkCancelDisplay",
    "warningDisplay", "setFormat", "infoDisplay", "errorDisplay", "SetTitle", "SetXAxisTitle", "SetYAxisTitle",
)  # fmt: skip


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.name)
class TestCatalogues:
    def test_every_text_is_translated_and_no_other(self, path: Path) -> None:
        found = translations.problems(translations.read_catalogue(path), translations.module_texts())
        assert not found, "run scripts/translations.py, and translate:\n" + "\n".join(found)

    def test_it_is_written_as_the_script_writes_it(self, path: Path, tmp_path: Path) -> None:
        translations.write_catalogue(tmp_path / path.name, translations.read_catalogue(path))
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()

    def test_blanks_and_signs_at_the_ends_are_those_of_the_text(self, path: Path) -> None:
        """Texts are put together: a blank that is missing joins two words."""
        for (_context, source), entry in translations.read_catalogue(path).entries.items():
            text = entry.translation
            assert (source[:1] == " ", source[-1:] == " ") == (text[:1] == " ", text[-1:] == " "), source
            assert source.endswith("...") == text.endswith("..."), source
            assert ("&" in source) == ("&" in text), f"a mnemonic: {source}"


def test_german_is_there() -> None:
    assert [path.name for path in CATALOGUES] == ["MedSegTrainer_de.ts"]
    assert translations.read_catalogue(CATALOGUES[0]).language == "de"


class TestContexts:
    """Slicer's ``tr`` names the context after the package and the file, Qt that of a form after its class."""

    def test_they_are_those_that_are_looked_up(self) -> None:
        contexts = {context for context, _source in translations.module_texts()}
        assert {"MedSegTrainer", "MedSegTrainerUI.first_run", "data.section", "JobSection"} <= contexts
        assert {context for context in contexts if "." in context} <= {
            *(f"{path.parent.name}.{path.stem}" for path in UI.rglob("*.py")), translations.SETTINGS_CONTEXT,
        }  # fmt: skip

    def test_what_slicer_translates_itself_is_left_out(self) -> None:
        assert "qSlicerAbstractCoreModule" not in {context for context, _source in translations.module_texts()}


class TestScript:
    TEXTS: tuple[translations.Text, ...] = (("a", "Open {name}"), ("a", "Close"), ("b", "Close"))

    def test_a_new_text_is_unfinished_and_one_that_is_gone_is_dropped(self) -> None:
        before = Catalogue("de", {("a", "Close"): Entry("Schließen", True), ("a", "gone"): Entry("weg", True)})
        after = translations.updated(before, list(self.TEXTS))
        assert list(after.entries) == list(self.TEXTS)
        assert after.entries["a", "Close"] == Entry("Schließen", True)
        assert after.entries["b", "Close"] == Entry("Schließen", False), "the same words may mean something else there"
        assert translations.problems(after, list(self.TEXTS)) == [
            "not translated: a: Open {name}", "not translated: b: Close",
        ]  # fmt: skip

    def test_a_text_that_moved_keeps_its_translation_and_another_wording_proposes_it(self) -> None:
        before = Catalogue(
            "de", {("old", "Close"): Entry("Schließen", True), ("a", "Open {it}"): Entry("{it} auf", True)}
        )
        after = translations.updated(before, list(self.TEXTS))
        assert after.entries["a", "Close"] == Entry("Schließen", True)
        assert after.entries["a", "Open {name}"] == Entry("{it} auf", False)

    def test_other_placeholders_are_told(self) -> None:
        wrong = Catalogue("de", {("a", "Open {name:.2f}"): Entry("{name} auf", True)})
        assert translations.problems(wrong, [("a", "Open {name:.2f}")]) == [
            "other placeholders than the text: a: Open {name:.2f}"
        ]

    def test_a_catalogue_comes_back_as_it_was_written(self, tmp_path: Path) -> None:
        entries = {("a", " <b>\"x\" & 'y'</b>\n "): Entry(" „ä“\nö ", True), ("a", "new"): Entry("", False)}
        translations.write_catalogue(tmp_path / "x.ts", Catalogue("de", entries))
        assert translations.read_catalogue(tmp_path / "x.ts") == Catalogue("de", entries)

    def test_texts_are_found_in_code_and_forms(self, tmp_path: Path) -> None:
        (tmp_path / "Ui").mkdir()
        (tmp_path / "Ui" / "__init__.py").touch()
        (tmp_path / "Ui" / "box.py").write_text('def f():\n    return _("one {n}" " two").format(n=1), tr("three")\n')
        form = "<ui><class>Form</class><widget><property name='text'><string>A &amp;b</string></property>"
        form += "<property name='x'><string notr='true'>no</string></property></widget></ui>"
        (tmp_path / "Form.ui").write_text(form)
        settings = tmp_path / "config.txt"
        settings.write_text(
            "class A:\n    step_size: int = setting(1, 'How far.')\n\n\nclass TrainConfig:\n    a: A = 0\n"
        )
        assert translations.module_texts(tmp_path, settings) == [
            ("Form", "A &b"), ("MedSegTrainerLib.config", "Step size"), ("MedSegTrainerLib.config", "How far."),
            ("Ui.box", "one {n} two"), ("Ui.box", "three"),
        ]  # fmt: skip

    def test_a_text_that_is_filled_in_too_early_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "box.py").write_text('_(f"one {n}")\n')
        with pytest.raises(SystemExit, match=r"box\.py:1: _\(\) takes one text"):
            translations.module_texts(tmp_path)

    def test_check_says_that_nothing_is_missing_and_writes_nothing(self) -> None:
        before = {path: path.stat().st_mtime_ns for path in translations.FOLDER.iterdir()}
        script = [sys.executable, str(package.ROOT / "scripts" / "translations.py"), "--check"]
        done = subprocess.run(script, capture_output=True, text=True, check=True)
        assert "none to be looked at" in done.stdout
        assert {path: path.stat().st_mtime_ns for path in translations.FOLDER.iterdir()} == before


def untranslated(path: Path) -> Iterator[str]:
    """Texts that are given to a widget or to the user as they are."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        values: list[ast.expr] = []
        if isinstance(node, ast.Assign) and any(
            isinstance(one, ast.Attribute) and one.attr in SHOWN for one in node.targets
        ):
            values = [node.value]
        elif isinstance(node, ast.Call) and _name(node.func) in SHOWING:
            values = list(node.args)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc.func).endswith("Error"):
            values = list(node.exc.args) if _name(node.exc.func) not in ("ValueError", "TypeError") else []
        yield from (f"{path.name}:{node.lineno}: {text}" for value in values for text in _words(value))


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _words(node: ast.expr) -> Iterator[str]:
    """Literal texts with a word in them, without those that are translated, or only looked up."""
    if isinstance(node, ast.Call):
        if _name(node.func) in ("_", "translate", "get", "value"):
            return
        parts = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        for part in (*parts, *node.args):
            yield from _words(part)
    elif isinstance(node, ast.Constant):
        plain = isinstance(node.value, str) and any(len(word) > 2 and word.isalpha() for word in node.value.split())
        if plain and "<" not in node.value and node.value not in SEVERITIES:
            yield node.value
    elif not isinstance(node, ast.Compare | ast.Subscript | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from _words(child)


SEVERITIES = ("note", "warning", "error")


class TestCode:
    @pytest.mark.parametrize("path", sorted(UI.glob("*.py")), ids=lambda path: path.name)
    def test_what_the_user_reads_can_be_translated(self, path: Path) -> None:
        assert list(untranslated(path)) == []

    def test_a_bare_text_is_found(self, tmp_path: Path) -> None:
        code = 'label.text = "Some words"\nself.tell(_("fine"), "note")\nraise JobError(f"{x} is gone")\n'
        (tmp_path / "box.py").write_text(code)
        assert list(untranslated(tmp_path / "box.py")) == ["box.py:1: Some words", "box.py:3:  is gone"]
