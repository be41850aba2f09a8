"""A scene that is added to the one in use: its parameters would take the place of the user's, without a word."""

from __future__ import annotations

import json
from dataclasses import replace

import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.case_rows import free_name, read_rows, write_rows


class KeptParameters:
    """What the user has set up before an import; ``give_back`` puts it back, and what the scene brings beside it."""

    def __init__(self, parameters: Parameters) -> None:
        self._node = parameters.parameterNode
        self._rows = read_rows(self._node)
        self._class_names = parameters.classNames
        self._in_use = bool(self._rows or parameters.trainingJob)
        self._copy = slicer.vtkMRMLScriptedModuleNode()
        self._copy.Copy(self._node)

    def give_back(self, parameters: Parameters) -> str:
        """What was done, in words; '' where nothing had to be."""
        if not self._in_use or self._node.GetScene() is None:
            return ""
        brought, class_names = read_rows(self._node), parameters.classNames
        known = {row.volumes for row in self._rows}
        new = [row for row in brought if row.volumes not in known or row.images]
        if brought == self._rows:
            return ""
        with slicer.util.NodeModify(self._node):
            self._node.Copy(self._copy)
            rows = list(self._rows)
            for row in new:
                rows.append(replace(row, name=free_name(row.name, [one.name for one in rows])))
            write_rows(self._node, rows)
            parameters.classNames = json.dumps({**json.loads(class_names), **json.loads(self._class_names)})
        return _("The added scene has training data of its own: {count} rows were added to yours.").format(
            count=len(new)
        )
