"""Brings the translations of the module's texts up to date: ``python scripts/translations.py [--check] [--add fr]``.

The texts are those of the code and of the ``.ui`` files, in the contexts under which Slicer looks them up. A catalogue
is ``Resources/Translations/MedSegTrainer_<language>.ts`` of the module, in the form of Qt's lupdate; a new text comes
into it as unfinished, with a proposal where a text like it was translated before, and what the module does not say any
more is taken out. Of each catalogue the ``.qm`` is made, which Slicer reads, where Qt's lrelease is found.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib.util
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "MedSegTrainer"
SETTINGS = ROOT / "MedSegTrainerLib" / "config" / "settings.py"
FOLDER = MODULE / "Resources" / "Translations"
SETTINGS_CONTEXT = "MedSegTrainerLib.config"
FOREIGN = ("qSlicerAbstractCoreModule",)  # contexts of Slicer's own catalogues
ALIKE = 0.6  # of difflib: from here on a text is a new wording of the other
MOST_CHARACTERS = 70  # characters of a text in a message
Text = tuple[str, str]  # context and source


@dataclass
class Entry:
    """A translation; ``finished``: a person has agreed to it."""

    translation: str = ""
    finished: bool = False


@dataclass
class Catalogue:
    """``entries`` in the order in which they are written."""

    language: str
    entries: dict[Text, Entry] = field(default_factory=dict)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a text is not translated")
    parser.add_argument(
        "--add", metavar="LANGUAGE", help="begin the catalogue of another language, such as fr or pt_BR"
    )
    given = parser.parse_args(arguments)
    texts = module_texts()
    if given.add:
        write_catalogue(catalogue_path(given.add), Catalogue(given.add))
    complete = True
    for path in sorted(FOLDER.glob("MedSegTrainer_*.ts")):
        catalogue = read_catalogue(path)
        if not given.check:
            catalogue = updated(catalogue, texts)
            write_catalogue(path, catalogue)
            release(path)
        messages = problems(catalogue, texts)
        complete = complete and not messages
        print(*messages, f"{path.name}: {len(texts)} texts, {len(messages) or 'none'} to be looked at", sep="\n")
    return 0 if complete or not given.check else 1


def catalogue_path(language: str) -> Path:
    return FOLDER / f"MedSegTrainer_{language}.ts"


# --- the texts of the module ---


def module_texts(module: Path = MODULE, settings: Path = SETTINGS) -> list[Text]:
    """Every text with its context, each once: by context, and then in the order of the file."""
    texts = [text for path in sorted(module.rglob("*.py")) for text in _code_texts(path)]
    texts += [text for path in sorted(module.rglob("*.ui")) for text in _form_texts(path)]
    texts += [(SETTINGS_CONTEXT, text) for text in _setting_texts(settings)]
    return sorted(dict.fromkeys(texts), key=lambda text: text[0])


def context_of(path: Path) -> str:
    """The context of ``tr`` in a file, as ``slicer.i18n`` names it: the package, if any, and the file."""
    return f"{path.parent.name}.{path.stem}" if (path.parent / "__init__.py").exists() else path.stem


def _code_texts(path: Path) -> Iterator[Text]:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        texts = [item.value for item in call.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        if name in ("_", "tr"):
            if len(texts) != 1 or len(call.args) != 1:
                raise SystemExit(f"{path.name}:{call.lineno}: {name}() takes one text, written out where it is called")
            yield context_of(path), texts[0]
        elif name == "translate" and len(texts) == 2 and texts[0] not in FOREIGN:
            yield texts[0], texts[1]


def _form_texts(path: Path) -> Iterator[Text]:
    """Of a .ui file; Qt looks them up under the class that the form is for."""
    root = ElementTree.parse(path).getroot()
    context = root.findtext("class", "")
    for element in root.iter():
        for item in (*element.findall("property"), *element.findall("attribute")):
            text = item.find("string")
            if text is not None and text.text and text.get("notr") != "true":
                yield context, text.text


def _setting_texts(path: Path) -> Iterator[str]:
    """Label and help of each setting of a training, which the form under Advanced shows."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    sections = (ast.unparse(item.annotation) for _name, item in _fields(classes["TrainConfig"]))
    for section in sections:
        for name, item in _fields(classes[section]) if section in classes else ():
            call = item.value
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "setting":
                yield name.replace("_", " ").capitalize()
                yield ast.literal_eval(call.args[1])


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, ast.AnnAssign]]:
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id[:1] != "_":
            yield item.target.id, item


# --- catalogues ---


def read_catalogue(path: Path) -> Catalogue:
    root = ElementTree.parse(path).getroot()
    catalogue = Catalogue(root.get("language", ""))
    for context in root.iter("context"):
        for message in context.iter("message"):
            translation = message.find("translation")
            assert translation is not None
            finished = translation.get("type") is None and bool(translation.text)
            key = (context.findtext("name", ""), message.findtext("source", ""))
            catalogue.entries[key] = Entry(translation.text or "", finished)
    return catalogue


def write_catalogue(path: Path, catalogue: Catalogue) -> None:
    """As lupdate writes it with ``-locations none``, so that it changes only where a text does."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<!DOCTYPE TS>"]
    lines.append(f'<TS version="2.1" language="{catalogue.language}" sourcelanguage="en">')
    for name in dict.fromkeys(context for context, _source in catalogue.entries):
        lines += ["<context>", f"    <name>{name}</name>"]
        for (context, source), entry in catalogue.entries.items():
            if context == name:
                kind = "" if entry.finished else ' type="unfinished"'
                lines += ["    <message>", f"        <source>{_xml(source)}</source>"]
                lines += [f"        <translation{kind}>{_xml(entry.translation)}</translation>", "    </message>"]
        lines.append("</context>")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "</TS>", ""]), encoding="utf-8", newline="\n")


def _xml(text: str) -> str:
    return escape(text, {'"': "&quot;", "'": "&apos;"})


def updated(catalogue: Catalogue, texts: list[Text]) -> Catalogue:
    """With the texts and no others, in their order."""
    entries = catalogue.entries
    vanished = {key: entry for key, entry in entries.items() if key not in set(texts)}
    return Catalogue(catalogue.language, {key: entries.get(key) or _proposal(key, entries, vanished) for key in texts})


def _proposal(key: Text, entries: dict[Text, Entry], vanished: dict[Text, Entry]) -> Entry:
    """A text that moved to another context keeps its translation. For others a translator may begin with that of the
    same text of another context, or of an earlier wording."""
    context, source = key
    moved = [entry for (_context, other), entry in vanished.items() if other == source and entry.finished]
    if moved:
        return moved[0]
    same = [entry for (_context, other), entry in entries.items() if other == source and entry.translation]
    earlier = {other: entry for (home, other), entry in vanished.items() if home == context}
    like = [earlier[other] for other in difflib.get_close_matches(source, earlier, n=1, cutoff=ALIKE)]
    return Entry(next((entry.translation for entry in (*same, *like)), ""))


def problems(catalogue: Catalogue, texts: list[Text]) -> list[str]:
    """What is missing or wrong, a line each: the context, and the beginning of the text."""
    messages = [f"not in the catalogue: {_beginning(key)}" for key in texts if key not in catalogue.entries]
    messages += [f"said no longer: {_beginning(key)}" for key in catalogue.entries if key not in set(texts)]
    for key, entry in catalogue.entries.items():
        if not entry.finished:
            messages.append(f"not translated: {_beginning(key)}")
        elif placeholders(key[1]) != placeholders(entry.translation):
            messages.append(f"other placeholders than the text: {_beginning(key)}")
    return messages


def _beginning(key: Text) -> str:
    context, source = key
    text = " ".join(source.split())
    return f"{context}: {text[:MOST_CHARACTERS]}{'...' if len(text) > MOST_CHARACTERS else ''}"


def placeholders(text: str) -> list[str]:
    """``{name}`` with their formats, and the tags, each as often as it comes; a translation has the same."""
    return sorted(re.findall(r"\{[^{}]*\}|</?\w+>", text))


# --- what Slicer reads ---


def release(path: Path) -> None:
    """Makes the ``.qm`` of a catalogue with Qt's lrelease, or says that there is none."""
    command = lrelease()
    if command is None:
        print(f"{path.with_suffix('.qm').name} stays as it is: lrelease (of Qt, or of PySide6) is not installed")
        return
    files = [str(path), "-qm", str(path.with_suffix(".qm"))]
    subprocess.run([command, "-silent", "-nounfinished", *files], check=True)


def lrelease() -> str | None:
    """Qt's own, or the one that comes with PySide6; None where neither is installed."""
    package = importlib.util.find_spec("PySide6")
    folders = [] if package is None else list(package.submodule_search_locations or ())
    candidates = [shutil.which(name) for name in ("lrelease", "lrelease-qt6", "lrelease-qt5")]
    candidates += [shutil.which("lrelease", path=folder) for folder in folders]
    return next((path for path in candidates if path), None)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
