"""The panel in the user's language: Slicer's own way of translating, with the files that the module brings."""

from __future__ import annotations

import ast
import logging
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
from MedSegTrainerUI.environment import build_messages as build_words
from MedSegTrainerUI.environment import build_texts
from MedSegTrainerUI.jobs.event_text import state_word
from MedSegTrainerUI.train.settings import GROUPS, all_settings, group_label
from slicer.i18n import translate

from MedSegTrainer import TRANSLATIONS

CATALOGUES = sorted(TRANSLATIONS.glob("*.ts"))
SAME = {  # words of both languages, and names
    "ROI", "axial", "sagittal",
    "Alpha", "Betas", "Checkpoints", "Cutmix", "Dice", "Dimension", "Dropout", "Eta min", "Fold", "Folds", "Gamma",
    "MedSegTrainer", "Mixup", "Momentum", "Nesterov", "Norm", "Patient", "PyTorch", "Segment", "T max", "Training",
    "Trainings", "Version", "ok",
}  # fmt: skip


@pytest.fixture(autouse=True)
def home(scene: Any, tmp_path: Path) -> None:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))  # whose jobs lie in "jobs"


@pytest.fixture
def german(medsegtrainer: Any) -> Any:
    standin = pytest.importorskip("slicer_standin.i18n", reason="Slicer runs in the language in which it was started")
    slicer.app.set_language("de_DE")
    slicer.app.loadTranslations(str(TRANSLATIONS))
    yield standin
    slicer.app.set_language("en_US")


def messages(path: Path) -> list[tuple[str, str, str]]:
    """Context, text and translation."""
    return [
        (context.findtext("name", ""), message.findtext("source", ""), message.findtext("translation", ""))
        for context in ElementTree.parse(path).getroot().iter("context")
        for message in context.iter("message")
    ]


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.name)
def test_what_slicer_reads_says_what_the_catalogue_says(path: Path) -> None:
    """The .qm file is made of the .ts file by scripts/translations.py, where Qt's lrelease is installed."""
    translator = qt.QTranslator()
    assert translator.load(str(path.with_suffix(".qm")))
    for context, source, translation in messages(path):
        assert translator.translate(context, source) == translation, "run scripts/translations.py"


class TestLoading:
    def test_the_module_loads_its_own_files(self, medsegtrainer: Any, german: Any) -> None:
        slicer.app.set_language("de_AT")
        type(slicer.modules.MedSegTrainerInstance)(medsegtrainer)
        assert medsegtrainer.helpText.startswith("Trainiert ein Segmentierungsnetz")
        slicer.app.set_language("en_US")
        type(slicer.modules.MedSegTrainerInstance)(medsegtrainer)
        assert medsegtrainer.helpText.startswith("Trains a segmentation network")

    def test_a_language_without_a_file_is_english(self, german: Any) -> None:
        slicer.app.set_language("fr_FR")
        slicer.app.loadTranslations(str(TRANSLATIONS))
        assert translate("JobSection", "Loss") == "Loss"


class TestGerman:
    def test_forms_code_and_tables_speak_it(self, german: Any, panel: Any) -> None:
        assert panel.ui.trainButton.text == "&2  Trainieren"
        assert panel.train.ui.groupCombo.itemText(0) == "Alle Gruppen"
        table = panel.data.ui.pairsTable
        assert table.horizontalHeaderItem(2).text() == "Segmentierung"
        assert panel.data.ui.statusLabel.text == "noch keine Volumina"
        assert state_word("running") == "läuft" and state_word("of another version") == "of another version"

    def test_nothing_that_is_shown_stays_english(self, german: Any, panel: Any) -> None:
        panel.ui.sampleButton.click()
        panel.train.ui.advancedButton.collapsed = False
        english = {source for _context, source, translation in messages(CATALOGUES[0]) if source != translation}
        english.remove("none")  # also a value of settings, as it is written in files
        shown = [
            getattr(widget, name) for widget in slicer.util.findChildren(panel.uiWidget)
            for name in ("text", "toolTip", "placeholderText") if isinstance(getattr(widget, name, None), str)
        ]  # fmt: skip
        assert len(shown) > 300
        assert [text for text in shown if text in english] == []

    def test_settings_have_german_labels_and_are_found_by_them(self, german: Any, panel: Any) -> None:
        setting = all_settings()["optimizer.learning_rate"]
        assert (setting.label, setting.help) == ("Lernrate", "Größte Lernrate des Zeitplans.")
        assert len({group_label(group) for group in GROUPS}) == len(GROUPS) and group_label("Loss") == "Verlust"
        panel.train.ui.advancedButton.collapsed = False
        assert panel.train.form.find("lernrate") >= 1 and panel.train.form.find("learning_rate") >= 1

    def test_what_is_left_as_it_was_is_the_same_in_german(self) -> None:
        same = {source for _context, source, translation in messages(CATALOGUES[0]) if source == translation}
        words = {text for text in same if re.fullmatch(r"[A-Za-z ]{2,}", text) and text != "ml"}
        assert words == SAME


class TestTranslating:
    """The stand-in of ``slicer.i18n``."""

    def test_the_context_is_the_file_of_the_caller(self, german: Any) -> None:
        assert german.getContext(build_words.__file__) == "environment.build_messages"
        assert german.getContext(str(TRANSLATIONS.parents[1] / "MedSegTrainer.py")) == "MedSegTrainer"

    def test_a_translation_with_other_placeholders_is_not_used(
        self, german: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Wrong(qt.QTranslator):
            def translate(self, context: str, text: str, *_more: Any) -> str:
                return "wrong {other}" if text == "one {name}" else ""

        wrong = Wrong()
        slicer.app.installTranslator(wrong)
        with caplog.at_level(logging.WARNING):
            assert german.tr("one {name}") == "one {name}"
        slicer.app.removeTranslator(wrong)
        assert "other placeholders" in caplog.text


class TestBuilder:
    """The process that makes the environment reads the catalogue itself."""

    @pytest.fixture(autouse=True)
    def english_again(self) -> Any:
        yield
        build_texts.read_catalogue(Path("/none.ts"))

    def test_it_finds_the_language_of_a_country(self, tmp_path: Path) -> None:
        assert build_texts.catalogue_path(TRANSLATIONS, "de_CH") == TRANSLATIONS / "MedSegTrainer_de.ts"
        assert build_texts.catalogue_path(TRANSLATIONS, "en_US") is None
        (tmp_path / "MedSegTrainer_pt_BR.ts").touch()
        assert build_texts.catalogue_path(tmp_path, "pt_BR") == tmp_path / "MedSegTrainer_pt_BR.ts"

    def test_it_speaks_the_language_of_a_catalogue(self) -> None:
        english = build_words.full_disk_text(Path("x"), 3 * 10**9, 10**9)
        build_texts.read_catalogue(CATALOGUES[0])
        assert build_words.failure_text("uv", 1, "no space left").startswith("Der Datenträger ist voll.")
        german = build_words.full_disk_text(Path("x"), 3 * 10**9, 10**9)
        assert german != english and "3.0 GB" in german and "1.0 GB" in german

    @pytest.mark.parametrize("content", [None, "no xml", "<!DOCTYPE TS><TS><context><message/></context></TS>"])
    def test_a_catalogue_that_cannot_be_read_leaves_english(self, tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "x.ts").write_text(content)
        build_texts.read_catalogue(tmp_path / "x.ts")
        assert build_texts.translated("Stopped.") == "Stopped."

    def test_no_text_of_it_has_two_translations(self) -> None:
        """It looks texts up without their context."""
        sources: set[str] = set()
        for path in Path(build_texts.__file__).parent.glob("*.py"):
            code = path.read_text(encoding="utf-8")
            if "build_texts import translated as _" in code:
                calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
                sources |= {ast.literal_eval(call.args[0]) for call in calls if getattr(call.func, "id", "") == "_"}
        assert len(sources) > 40
        for path in CATALOGUES:
            found = {(source, translation) for _context, source, translation in messages(path) if source in sources}
            assert len(found) == len(sources)
