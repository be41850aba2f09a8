"""Which texts of a panel that is shown are cut: by their widgets' width or height, or by the panel's edge.

A text that is cut may stay where its tooltip holds the whole: names of files, of cases and of models have any length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import qt

ARROW = 22  # pixels beside the text: of a combo box with its frame, of a spin box
FRAME = 8  # of a line edit
HEADER = 28  # of a section's header: the arrow before its text
CELL = 6  # margins of a cell
TITLE = 2  # pixels of the margins of a title that it can do without
ICON = 20  # a swatch, a dot or a check mark before the text of a cell
SCROLLED = ("QAbstractItemView", "QPlainTextEdit", "QTextBrowser")  # what is inside can be moved


def cut_texts(root: Any) -> list[str]:
    """A line for each: the widget, its text, and how many pixels are missing. root: shown, as wide as it is meant."""
    found = []
    for widget in _shown(root):
        beyond = widget.mapTo(root, qt.QPoint(widget.width, 0)).x() - root.width
        if beyond > 0:
            found.append(f"{_name(widget)}: {beyond} pixels lie beyond the edge")
        for text, missing, whole in _texts(widget):
            if missing > 0 and not all(part in whole for part in text.split(", ")):
                found.append(f"{_name(widget)} '{text}': {round(missing)} pixels are missing")
    return found


def _shown(widget: Any) -> Iterator[Any]:
    """The widgets below, without what others consist of, and without the content of what is scrolled."""
    for child in widget.children():
        if child.isWidgetType() and child.visible and not child.isWindow():
            yield child
            if not any(child.inherits(kind) for kind in SCROLLED):
                yield from _shown(child)


def _texts(widget: Any) -> Iterator[tuple[str, float, str]]:
    """Of a widget: each text, the pixels that it lacks, and the tooltip that may hold the whole."""
    for kind, texts in KINDS.items():
        if widget.inherits(kind):
            yield from texts(widget)
            return


def _label(label: Any) -> Iterator[tuple[str, float, str]]:
    if not label.text:
        return
    tip = label.toolTip
    if label.wordWrap:
        yield label.text, label.heightForWidth(label.width) - label.height, tip
        yield label.text, _longest_word(label) - label.contentsRect().width(), tip
    else:
        yield label.text, label.sizeHint.width() - label.width, tip
        yield label.text, label.sizeHint.height() - label.height, tip


def _longest_word(label: Any) -> float:
    document = qt.QTextDocument()
    document.setDefaultFont(label.font)
    document.setDocumentMargin(0)
    if label.textFormat == qt.Qt.RichText or "<" in label.text:
        document.setHtml(label.text)
    else:
        document.setPlainText(label.text)
    document.setTextWidth(1)
    return float(document.idealWidth())


def _button(button: Any) -> Iterator[tuple[str, float, str]]:
    yield button.text, button.sizeHint.width() - button.width, ""
    yield button.text, button.sizeHint.height() - button.height, ""


def _section(button: Any) -> Iterator[tuple[str, float, str]]:
    yield button.text, _advance(button, button.text) + HEADER - button.width, ""


def _combo(combo: Any) -> Iterator[tuple[str, float, str]]:
    if combo.editable:
        return  # what was typed can be moved
    text, tip = combo.currentText, f"{combo.toolTip}{combo.itemData(combo.currentIndex, qt.Qt.ToolTipRole) or ''}"
    yield text, _advance(combo, text) + ARROW - combo.width, tip


def _line(edit: Any) -> Iterator[tuple[str, float, str]]:
    text = edit.placeholderText if not edit.text else ""  # what was typed can be moved
    yield text, _advance(edit, text) + FRAME - edit.width, edit.toolTip


def _spin(spin: Any) -> Iterator[tuple[str, float, str]]:
    for text in (spin.specialValueText, f"{spin.prefix}{spin.maximum}{spin.suffix}"):
        yield text, _advance(spin, text) + ARROW - spin.width, ""


def _bar(bar: Any) -> Iterator[tuple[str, float, str]]:
    if bar.textVisible:
        yield bar.text, _advance(bar, bar.text) - bar.width, ""


def _table(table: Any) -> Iterator[tuple[str, float, str]]:
    header = table.horizontalHeader()
    for column in range(table.columnCount):
        title = table.horizontalHeaderItem(column)
        if title is not None and title.text():
            yield title.text(), header.sectionSizeHint(column) - TITLE - header.sectionSize(column), ""
        for row in range(table.rowCount):
            item = table.item(row, column)
            before = ICON * ((not item.icon().isNull()) + (item.data(qt.Qt.CheckStateRole) is not None))
            needed = _advance(table, item.text()) + CELL + before if item.text() else 0
            yield item.text(), needed - table.columnWidth(column), item.toolTip()
    if table.rowCount:
        yield "a row", table.fontMetrics().height() - table.rowHeight(0), ""


def _advance(widget: Any, text: str) -> int:
    return int(widget.fontMetrics().horizontalAdvance(text.replace("&", "")))


def _name(widget: Any) -> str:
    return f"{widget.metaObject().className()} {widget.objectName or widget.parent().objectName}"


KINDS = {
    "QLabel": _label, "ctkCollapsibleButton": _section, "QAbstractButton": _button, "QComboBox": _combo,
    "QLineEdit": _line, "QDoubleSpinBox": _spin, "QProgressBar": _bar, "QTableWidget": _table,
}  # fmt: skip
