"""``slicer.app.coreIOManager()``: reads and writes the files that slicer.util's functions ask for."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import slicer

FILE_TYPES = {
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr"),
    "VolumeFile": (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm"),
    "ModelFile": (".vtk", ".vtp", ".stl", ".ply", ".obj"),
    "TransformFile": (".h5", ".tfm"),
    "TableFile": (".csv", ".tsv"),
    "SceneFile": (".mrml", ".mrb"),
}
LABEL_MAP, SINGLE_FILE = 1, 8  # options of AddArchetypeVolume


class FileIO:
    """Has the methods of qSlicerCoreIOManager that ``slicer.util`` uses."""

    def fileType(self, name: str) -> str:
        for kind, suffixes in FILE_TYPES.items():
            if str(name).lower().endswith(suffixes):
                return kind
        return "NoFile"

    def loadNodes(self, kind: str, properties: dict[str, Any], nodes: Any, messages: Any = None) -> bool:
        path = properties["fileName"]
        if kind == "SceneFile":
            if path.endswith(".mrb"):  # Slicer unpacks it into its cache, which only the application has
                folder = tempfile.mkdtemp(dir=slicer.app.temporaryPath)
                with zipfile.ZipFile(path) as archive:
                    archive.extractall(folder)
                path = str(next(Path(folder).rglob("*.mrml")))
            slicer.mrmlScene.SetURL(path)
            return bool(slicer.mrmlScene.Import() if not properties.get("clear") else slicer.mrmlScene.Connect())
        reader = {
            "VolumeFile": _read_volume, "SegmentationFile": _read_segmentation, "ModelFile": _read_model,
            "TransformFile": _read_transform, "TableFile": _read_table,
        }.get(kind)  # fmt: skip
        node = reader(path, properties) if reader and Path(path).exists() else None
        if node is None:
            return False
        nodes.AddItem(node)
        return True

    def fileWriterFileType(self, node: Any, *ignored: Any) -> str:
        return "SceneFile" if node is None else node.GetClassName()

    def defaultSceneFileType(self) -> str:
        return "MRML Scene (.mrml)"

    def saveNodes(self, kind: str, properties: dict[str, Any], messages: Any = None) -> bool:
        path = properties["fileName"]
        node = slicer.mrmlScene.GetNodeByID(properties.get("nodeID", ""))
        if node is None:
            return self.saveScene(path)
        if not node.GetStorageNode():
            node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        if "useCompression" in properties:
            storage.SetUseCompression(int(properties["useCompression"]))
        return bool(storage.WriteData(node))

    def extractKnownExtension(self, path: str, node: Any) -> str:
        suffixes = sorted((suffix for group in FILE_TYPES.values() for suffix in group), key=len, reverse=True)
        return next((suffix for suffix in suffixes if path.lower().endswith(suffix)), Path(path).suffix)

    def fileWriterExtensions(self, node: Any) -> tuple[str, ...]:
        return tuple(f"{kind} (*{suffix})" for kind, suffixes in FILE_TYPES.items() for suffix in suffixes)

    def exportNodes(
        self, identifiers: Any, paths: Any, properties: dict[str, Any], harden: bool = False, messages: Any = None
    ) -> bool:
        """Writes through storage nodes that are not the scene's, so that the nodes keep their own."""
        if harden:
            raise NotImplementedError("the stand-in exports no hardened nodes")
        pairs = zip(_several(identifiers), _several(paths), strict=True)
        return all(_export(identifier, path, properties) for identifier, path in pairs)

    def saveScene(self, path: str, screenshot: Any = None) -> bool:
        scene = slicer.mrmlScene
        if path.endswith(".mrb"):
            return bool(scene.WriteToMRB(path))
        if path.endswith(".mrml"):
            scene.SetURL(path)
            scene.SetRootDirectory(str(Path(path).parent))
            return bool(scene.Commit(path))
        Path(path).mkdir(parents=True, exist_ok=True)
        return bool(scene.SaveSceneToSlicerDataBundleDirectory(path))


def _name(path: str, properties: dict[str, Any]) -> str:
    return properties.get("name") or Path(path).name.split(".")[0]


def _read_volume(path: str, properties: dict[str, Any]) -> Any:
    options = LABEL_MAP * bool(properties.get("labelmap")) | SINGLE_FILE * bool(properties.get("singleFile"))
    return slicer.modules.volumes.logic().AddArchetypeVolume(path, _name(path, properties), options)


def _read_segmentation(path: str, properties: dict[str, Any]) -> Any:
    logic = slicer.modules.segmentations.logic()
    return logic.LoadSegmentationFromFile(path, properties.get("autoOpacities", True), _name(path, properties))


def _read_model(path: str, properties: dict[str, Any]) -> Any:
    return slicer.modules.models.logic().AddModel(path, properties.get("coordinateSystem", 1))


def _read_transform(path: str, properties: dict[str, Any]) -> Any:
    return slicer.modules.transforms.logic().AddTransform(path, slicer.mrmlScene)


def _read_table(path: str, properties: dict[str, Any]) -> Any:
    return slicer.modules.tables.logic().AddTable(path, _name(path, properties))


def _several(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _export(identifier: str, path: str, properties: dict[str, Any]) -> bool:
    node = slicer.mrmlScene.GetNodeByID(identifier)
    storage = node.CreateDefaultStorageNode()
    storage.UnRegister(None)
    storage.SetFileName(path)
    storage.SetUseCompression(int(properties.get("useCompression", True)))
    return bool(storage.WriteData(node))
