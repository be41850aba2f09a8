"""The form under Advanced: every setting of a training in groups, searched by word; what was changed is bold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import qt
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import UsageError
from MedSegTrainerUI.slicer_types import Widget
from MedSegTrainerUI.train.settings import (
    GROUPS,
    Setting,
    all_settings,
    group_label,
    only_changes,
    parse_value,
    show_value,
)

WRONG = "background-color: #fbe3e4; color: #7a1016;"


class SettingsForm:
    """Rows in the layout of ``parent``, made at the first ``show``, as the form is large and often not looked at.

    changed(changes): called with all changed settings after an entry. refused(text): with what is wrong with an
    entry, '' when nothing is; it has not been taken then.
    """

    def __init__(
        self, parent: Widget, changed: Callable[[dict[str, Any]], None], refused: Callable[[str], None]
    ) -> None:
        self._parent, self._changed, self._refused = parent, changed, refused
        self._headings: dict[str, Widget] = {}
        self._labels: dict[str, Widget] = {}
        self.editors: dict[str, Widget] = {}
        self._changes: dict[str, Any] = {}
        self._hidden: set[str] = set()
        self._showing = False

    def show(self, changes: Mapping[str, Any]) -> None:
        """Shows these changed settings; all others as their defaults."""
        if not self.editors:
            self._build()
        self._changes = dict(changes)
        self._showing = True
        try:
            for key, editor in self.editors.items():
                self._show_value(all_settings()[key], editor)
        finally:
            self._showing = False

    def enter(self, key: str, text: str) -> None:
        """Takes a text for a setting as if it had been typed; '' is the default."""
        if not all_settings()[key].options:
            self.editors[key].text = text
        self._take(key, text.strip())

    def find(self, query: str, group: str = "") -> int:
        """Shows the settings whose name, key or help has all the words, of one group or of all; returns how many."""
        terms = query.lower().split()
        matching_groups = set()
        count = 0
        for key in self.editors:
            setting = all_settings()[key]
            text = f"{setting.label} {key} {setting.help}".lower()
            is_match = group in ("", setting.group) and all(term in text for term in terms)
            if is_match == (key in self._hidden):  # to set it again lays the whole form out anew
                self._labels[key].visible = self.editors[key].visible = is_match
                self._hidden ^= {key}
            count += is_match
            if is_match:
                matching_groups.add(setting.group)
        for name, heading in self._headings.items():
            heading.visible = name in matching_groups
        return count

    def _build(self) -> None:
        layout = self._parent.layout()
        ordered = sorted(all_settings().values(), key=lambda setting: GROUPS.index(setting.group))
        for setting in ordered:
            if setting.group not in self._headings:
                heading = qt.QLabel(f"<b>{group_label(setting.group)}</b>")
                heading.setContentsMargins(0, 8, 0, 2)
                self._headings[setting.group] = heading
                layout.addRow(heading)
            label = qt.QLabel(setting.label)
            editor = self._menu(setting) if setting.options else self._line(setting)
            label.toolTip = editor.toolTip = tooltip(setting)
            label.setBuddy(editor)
            self._labels[setting.key], self.editors[setting.key] = label, editor
            layout.addRow(label, editor)

    def _menu(self, setting: Setting) -> Widget:
        editor = qt.QComboBox()
        default = show_value(setting.default)
        for option in setting.options:
            editor.addItem(_("{value} (default)").format(value=option) if option == default else option)
        editor.setSizeAdjustPolicy(qt.QComboBox.AdjustToContents)
        editor.connect("activated(int)", lambda index, key=setting.key: self._on_menu(key, index))
        return editor

    def _line(self, setting: Setting) -> Widget:
        editor = qt.QLineEdit()
        editor.placeholderText = show_value(setting.default) or _("not given")
        editor.clearButtonEnabled = True
        editor.connect("editingFinished()", lambda key=setting.key: self._on_line(key))
        return editor

    def _show_value(self, setting: Setting, editor: Widget) -> None:
        is_changed = setting.key in self._changes
        value = self._changes.get(setting.key, setting.default)
        if setting.options:
            editor.currentIndex = setting.options.index(show_value(value))
        else:
            editor.text = show_value(value) if is_changed else ""
            editor.styleSheet = ""
        label = self._labels[setting.key]
        label.text = f"<b>{escape(setting.label)}</b>" if is_changed else escape(setting.label)

    def _on_menu(self, key: str, index: int) -> None:
        self._take(key, all_settings()[key].options[index])

    def _on_line(self, key: str) -> None:
        self._take(key, self.editors[key].text.strip())

    def _take(self, key: str, text: str) -> None:
        if self._showing:
            return
        setting, editor = all_settings()[key], self.editors[key]
        try:
            value = parse_value(setting, text) if text else setting.default
        except UsageError as error:
            editor.styleSheet = WRONG
            self._refused(str(error))
            return
        self._refused("")
        before = self._changes
        self._changes = only_changes({**before, key: value})
        self._show_value(setting, editor)
        if self._changes != before:
            self._changed(dict(self._changes))


def tooltip(setting: Setting) -> str:
    """What the setting is, what may be entered, its default and its key, as rich text, which Qt wraps."""
    lines = [
        escape(setting.help),
        _("Possible: {range}").format(range=escape(setting.range)),
        _("Default: {value}").format(value=escape(show_value(setting.default) or _("not given"))),
    ]
    return f"<p>{'<br>'.join(lines)}</p><p><i>{setting.key}</i></p>"
