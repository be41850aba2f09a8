"""The row in which a class is told to be another one, or several, of the model that a training starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from MedSegTrainerUI.models.model_card import ModelCard
from MedSegTrainerUI.scene.segment_classes import same_name
from MedSegTrainerUI.slicer_types import QtObject, Ui
from MedSegTrainerUI.train.start_fit import Was, origins


class RenameRow:
    """chosen(class, olds): called with the classes of the model that it was, without that of the same name."""

    def __init__(self, ui: Ui, chosen: Callable[[str, list[str]], object]) -> None:
        self.ui, self._chosen = ui, chosen
        self._menu = qt.QMenu(ui.renameButton)
        self._names: list[str] = []  # of the classes
        self._renamed: Was = {}
        self.actions: dict[str, QtObject] = {}  # of the menu, by the class of the model
        ui.renameButton.setMenu(self._menu)
        ui.renameSelector.connect("currentIndexChanged(int)", self._show_class)
        self._show_class()

    def hide(self) -> None:
        self.ui.renameFrame.visible = False

    def show(self, card: ModelCard, classes: Sequence[str], renamed: Was) -> None:
        """Only where the names differ: else each class goes on as what it was."""
        models = [item.name for item in card.classes]
        equal = sorted(map(same_name, models)) == sorted(map(same_name, classes))
        self.ui.renameFrame.visible = bool(classes) and not equal
        self._renamed = renamed
        if list(classes) != self._names:
            self._list_classes(list(classes), [name for name, olds in origins(card, classes, {}).items() if not olds])
        if models != list(self.actions):
            self._list_models(models)
        self._show_class()

    def _list_classes(self, names: list[str], new: list[str]) -> None:
        """The first new one is what most likely has another name in the model."""
        selector, self._names = self.ui.renameSelector, names
        blocked = selector.blockSignals(True)
        selector.clear()
        for name in names:
            selector.addItem(name)
        selector.setCurrentIndex(names.index(new[0]) if new else 0)
        selector.blockSignals(blocked)

    def _list_models(self, names: list[str]) -> None:
        self._menu.clear()
        self.actions = {}
        for name in names:
            self.actions[name] = action = self._menu.addAction(name)
            action.checkable = True
            action.connect("triggered(bool)", lambda checked, name=name: self._choose(name, checked))

    def _show_class(self) -> None:
        name, button = self._class(), self.ui.renameButton
        tip = _("A class of the table above.")
        self.ui.renameSelector.toolTip = f"{name}\n{tip}" if name else tip
        was = []
        for old, action in self.actions.items():
            is_same = same_name(old) == same_name(name)
            action.checked, action.enabled = is_same or old in self._renamed.get(name, ()), not is_same
            was += [old] if action.checked else []
        button.text = " + ".join(was).replace("&", "&&") or _("new")
        tip = _(
            "What the class was in the model, as which it goes on; of several it becomes one. What is new is learned "
            "from the beginning."
        )
        button.toolTip = f"{' + '.join(was)}\n{tip}" if was else tip

    def _choose(self, old: str, checked: bool) -> None:
        name = self._class()
        others = [one for one in self._renamed.get(name, ()) if one != old]
        self._chosen(name, [*others, old] if checked else others)

    def _class(self) -> str:
        index = self.ui.renameSelector.currentIndex
        return self._names[index] if 0 <= index < len(self._names) else ""
