"""The texts of the process that makes an environment, in the user's language: neither Slicer nor Qt is there to do it.

Only the standard library is imported.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

_translations: dict[str, str] = {}


def translated(text: str) -> str:
    """The text in the language of the catalogue that was read; as it is where there is none."""
    return _translations.get(text, text)


def read_catalogue(path: Path) -> None:
    """Takes the translations of a ``.ts`` file from now on; one that is not there, or damaged, gives none."""
    _translations.clear()
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return
    for message in root.iter("message"):
        source, translation = message.findtext("source"), message.find("translation")
        if source and translation is not None and translation.text and translation.get("type") is None:
            _translations[source] = translation.text


def catalogue_path(folder: Path, language: str) -> Path | None:
    """The ``.ts`` file for a language such as ``de_DE``, of the country or of all that speak it; None without."""
    names = (f"MedSegTrainer_{name}.ts" for name in (language, language.partition("_")[0]))
    return next((folder / name for name in names if (folder / name).is_file()), None)
