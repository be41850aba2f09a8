"""``slicer.i18n``: texts in the language of the application, under the contexts that Slicer gives them."""

from __future__ import annotations

import functools
import logging
import re
import sys
from pathlib import Path

import slicer


def translate(context: str, text: str) -> str:
    return str(slicer.app.translate(context, text))


@functools.cache
def getContext(source_file: str) -> str:
    """The package, where the file is of one, and the name of the file: ``MedSegTrainerUI.panel``."""
    path = Path(source_file)
    return f"{path.parent.name}.{path.stem}" if (path.parent / "__init__.py").is_file() else path.stem


def tr(text: str) -> str:
    """The text in the context of the file that asks; a translation with other placeholders is not used.

    A text that was filled in before it was translated cannot be told here, so only its type is checked.
    """
    if not isinstance(text, str):
        raise TypeError(f"tr() wants a text, not {text!r}")
    context = getContext(sys._getframe(1).f_code.co_filename)
    translated = translate(context, text)
    if _placeholders(translated) != _placeholders(text):
        logging.warning("%s: '%s' has other placeholders than '%s'", context, translated, text)
        return text
    return translated


def _placeholders(text: str) -> set[str]:
    return set(re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", text))
