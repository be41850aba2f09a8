"""Tooltips as the user reads them: Slicer makes rich text of the plain ones, so that they are wrapped."""

from __future__ import annotations

from typing import Any

import qt


def tooltip(widget: Any) -> str:
    document = qt.QTextDocument()
    document.setHtml(widget.toolTip)
    return str(document.toPlainText())
