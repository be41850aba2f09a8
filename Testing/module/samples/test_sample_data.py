import io
import sys
import tarfile
import types
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from MedSegTrainerUI.data.scene_pairs import pair_all
from MedSegTrainerUI.samples import phantom_files, sample_data
from MedSegTrainerUI.samples.phantom_volumes import CLASSES, TUMOR, make_phantom_volume
from MedSegTrainerUI.scene.case_checks import check_rows
from MedSegTrainerUI.scene.segment_classes import find_classes

from MedSegTrainerLib.errors import DataError

pytestmark = pytest.mark.usefixtures("scene")


class FakeLogic:
    """Of Slicer's Sample Data: remembers what it is given; ``archive`` is what a download brings, or an exception."""

    archive = None
    messages = ()

    rules = ()

    @staticmethod
    def registerCustomSampleDataSource(category, **fields):
        slicer.modules.sampleDataSources.setdefault(category, []).append(types.SimpleNamespace(**fields))

    @staticmethod
    def registerUrlRewriteRule(name, rewriteFunction):
        FakeLogic.rules = (rewriteFunction,)

    def downloadFromSource(self, source):
        """As Slicer's: what a click calls is not asked."""
        nodes = []
        for uri, name, kind in zip(source.uris, source.nodeNames, source.loadFileTypes, strict=True):
            for rule in FakeLogic.rules:
                uri = rule(uri)
            with urllib.request.urlopen(uri) as response:
                path = Path(slicer.app.temporaryPath) / Path(urllib.request.url2pathname(uri)).name
                path.write_bytes(response.read())
            properties = {"fileName": str(path), "name": name}
            loaded = vtk.vtkCollection()
            assert slicer.app.coreIOManager().loadNodes(kind, properties, loaded)
            nodes.append(loaded.GetItemAsObject(0))
        return nodes

    def downloadFileIntoCache(self, uri, name, checksum):
        assert uri.endswith(name) and slicer.util.extractAlgoAndDigest(checksum)[0] == "MD5"
        if isinstance(FakeLogic.archive, Exception):
            raise FakeLogic.archive
        return str(FakeLogic.archive)

    def logMessage(self, message, logLevel=0):
        FakeLogic.messages += ((logLevel, message),)


@pytest.fixture
def sample_data_module():
    """Slicer's module, played by a fake, also where the real one is there: nothing is to be downloaded."""
    before = sys.modules.get("SampleData"), getattr(slicer.modules, "SampleDataWidget", None)
    sources = getattr(slicer.modules, "sampleDataSources", None)
    sys.modules["SampleData"] = types.SimpleNamespace(SampleDataLogic=FakeLogic)
    slicer.modules.sampleDataSources, slicer.modules.SampleDataWidget = {}, None
    FakeLogic.messages = ()
    yield slicer.modules.sampleDataSources
    sys.modules.pop("SampleData")
    if before[0] is not None:
        sys.modules["SampleData"] = before[0]
    slicer.modules.SampleDataWidget, slicer.modules.sampleDataSources = before[1], sources or {}


def scene_counts():
    """Nodes by class; the one of the subject hierarchy comes by itself and is not counted."""
    nodes = [slicer.mrmlScene.GetNthNode(index).GetClassName() for index in range(slicer.mrmlScene.GetNumberOfNodes())]
    return {name: nodes.count(name) for name in nodes if name != "vtkMRMLSubjectHierarchyNode"}


def segment_array(segmentation, name, volume):
    identifier = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume)


def write_archive(path, cases, extra=()):
    """A tar like the Decathlon's: ``cases`` maps names to an image and a label map; ``extra`` are other members."""
    with tarfile.open(path, "w") as tar:
        for name, pair in cases.items():
            for folder, image in zip(("imagesTr", "labelsTr"), pair, strict=True):
                file = path.parent / f"{name}.nii.gz"
                sitk.WriteImage(image, str(file))
                tar.add(file, f"Task04_Hippocampus/{folder}/{name}.nii.gz")
        for member, content in extra:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def cases():
    generator = np.random.default_rng(1)
    made = {}
    for number in range(1, 8):
        label = np.zeros((7, 9, 11), np.uint8)
        label[1:4, 2:5, 3:9] = 1
        label[4:6, 2:5, 3 : 3 + number] = 2
        image = sitk.GetImageFromArray((10 * label + generator.integers(1, 9, label.shape)).astype(np.float32))
        for part in (image, converted := sitk.GetImageFromArray(label)):
            part.SetSpacing((1.0, 1.5, 2.0))
            part.SetOrigin((number, 2, 3))
        made[f"hippocampus_{number:03d}"] = (image, converted)
    return made


class TestPhantoms:
    def test_three_are_labelled_and_one_is_to_be_segmented(self):
        volumes = sample_data.load_phantoms()
        rows = pair_all(slicer.mrmlScene).rows
        assert [row.name for row in rows] == ["Phantom 1", "Phantom 2", "Phantom 3"]
        assert [volume.GetName() for volume in volumes] == ["Phantom 1", "Phantom 2", "Phantom 3", "Phantom 4"]
        found = find_classes(rows, {})
        assert [(one.name, one.cases) for one in found] == [(one.name, 3) for one in CLASSES]
        assert [tuple(one.color) for one in found] == [one.color for one in CLASSES]
        assert [one.terminology for one in found] == [one.terminology for one in CLASSES]

    def test_nodes_hold_exactly_the_made_voxels(self):
        volumes = sample_data.load_phantoms()
        phantom = make_phantom_volume(1)
        assert np.array_equal(slicer.util.arrayFromVolume(volumes[1]), phantom.voxels)
        segmentation = slicer.util.getNode("Phantom 2 segmentation")
        for one in CLASSES:
            assert np.array_equal(segment_array(segmentation, one.name, volumes[1]) > 0, phantom.labels == one.value)

    def test_the_data_section_finds_nothing_wrong_with_them(self):
        sample_data.load_phantoms()
        rows = pair_all(slicer.mrmlScene).rows
        assert check_rows(rows, find_classes(rows, {})) == []

    def test_nothing_else_is_left_in_the_scene(self):
        before = scene_counts()
        sample_data.load_phantoms()
        added = {name: count - before.get(name, 0) for name, count in scene_counts().items()}
        assert {name for name, count in added.items() if count} == {
            "vtkMRMLScalarVolumeNode", "vtkMRMLScalarVolumeDisplayNode", "vtkMRMLSegmentationNode",
            "vtkMRMLSegmentationDisplayNode",
        }  # fmt: skip
        assert added["vtkMRMLScalarVolumeNode"] == 4 and added["vtkMRMLSegmentationNode"] == 3

    def test_only_the_segments_of_the_shown_volume_are_visible(self):
        sample_data.load_phantoms()
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        assert [bool(node.GetDisplayNode().GetVisibility()) for node in nodes] == [True, False, False]


class TestPhantomVolume:
    def test_every_class_is_in_every_case_and_cases_differ(self):
        phantoms = [make_phantom_volume(seed) for seed in range(8)]
        for phantom in phantoms:
            counts = np.bincount(phantom.labels.ravel(), minlength=5)
            assert counts[1:].min() >= 150 and counts[TUMOR] < counts[1] / 10
        assert not np.array_equal(phantoms[0].labels, phantoms[1].labels)

    def test_the_same_seed_makes_the_same(self):
        first, second = make_phantom_volume(3), make_phantom_volume(3)
        assert np.array_equal(first.voxels, second.voxels) and np.array_equal(first.ijk_to_ras, second.ijk_to_ras)

    def test_grid_is_anisotropic_and_oblique_and_right_handed_as_in_a_scanner(self):
        matrix = make_phantom_volume(0).ijk_to_ras[:3, :3]
        spacing = np.linalg.norm(matrix, axis=0)
        assert np.allclose(spacing, (4, 4, 6))
        directions = matrix / spacing
        assert np.allclose(directions.T @ directions, np.eye(3))
        assert not np.allclose(np.abs(directions), np.eye(3), atol=0.02)
        assert np.linalg.det(directions) == pytest.approx(1)

    def test_the_liver_lies_on_the_right_and_the_spleen_on_the_left(self):
        phantom = make_phantom_volume(5)
        right = {}
        for one in CLASSES:
            k, j, i = np.nonzero(phantom.labels == one.value)
            right[one.name] = (phantom.ijk_to_ras[0, :3] @ (i.mean(), j.mean(), k.mean())) + phantom.ijk_to_ras[0, 3]
        assert right["liver"] > right["kidneys"] > right["spleen"]

    def test_classes_can_be_told_apart_by_brightness_and_noise_is_there(self):
        phantom = make_phantom_volume(0)
        liver, tumor = phantom.voxels[phantom.labels == 1], phantom.voxels[phantom.labels == TUMOR]
        assert tumor.mean() - liver.mean() > 2 * liver.std()
        assert liver.std() > 0.03 * liver.mean()

    @pytest.mark.parametrize("one", CLASSES, ids=lambda one: one.name)
    def test_terminology_has_the_seven_parts_that_slicer_reads(self, one):
        parts = one.terminology.split("~")
        assert len(parts) == 7 and all(part.count("^") == 2 for part in (*parts[1:4], *parts[5:7]))


class TestHippocampi:
    def test_the_first_five_are_labelled_and_the_sixth_is_to_be_segmented(self, tmp_path, cases):
        volumes = sample_data.load_hippocampi(write_archive(tmp_path / "t.tar", cases))
        assert [volume.GetName() for volume in volumes] == [f"hippocampus_00{number}" for number in range(1, 7)]
        rows = pair_all(slicer.mrmlScene).rows
        assert [row.name for row in rows] == [f"hippocampus_00{number}" for number in range(1, 6)]
        assert [one.name for one in find_classes(rows, {})] == ["anterior", "posterior"]
        segmentation = slicer.util.getNode("hippocampus_003 segmentation")
        posterior = segment_array(segmentation, "posterior", volumes[2])
        assert np.array_equal(posterior > 0, sitk.GetArrayFromImage(cases["hippocampus_003"][1]) == 2)

    def test_nothing_points_at_the_temporary_files(self, tmp_path, cases):
        volumes = sample_data.load_hippocampi(write_archive(tmp_path / "t.tar", cases))
        assert [volume.GetStorageNode() for volume in volumes] == [None] * 6
        assert not any("Storage" in name or "LabelMap" in name for name in scene_counts())

    def test_members_of_other_kinds_and_names_are_not_touched(self, tmp_path, cases):
        link = tarfile.TarInfo("Task04_Hippocampus/imagesTr/hippocampus_000.nii.gz")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        names = ("../hippocampus_000.nii.gz", "Task04_Hippocampus/imagesTr/../../escaped.nii.gz",
                 "Task04_Hippocampus/imagesTr/._hippocampus_001.nii.gz", "/absolute.nii.gz")  # fmt: skip
        extra = [(tarfile.TarInfo(name), b"evil") for name in names]
        archive = write_archive(tmp_path / "t.tar", cases, [(link, b""), *extra])
        files = sorted(tmp_path.rglob("*"))
        assert len(sample_data.load_hippocampi(archive)) == 6
        assert sorted(tmp_path.rglob("*")) == files

    def test_a_member_that_is_far_too_large_is_left_out(self, tmp_path, cases):
        large = tarfile.TarInfo("Task04_Hippocampus/labelsTr/hippocampus_001.nii.gz")
        first = {name: pair for name, pair in cases.items() if name != "hippocampus_001"}
        archive = write_archive(tmp_path / "t.tar", first, [(large, bytes(sample_data.LARGEST_MEMBER + 1))])
        assert sample_data.load_hippocampi(archive)[0].GetName() == "hippocampus_002"

    @pytest.mark.parametrize("content", [b"", b"<html>not found</html>", None])
    def test_what_is_no_archive_is_said_in_words(self, tmp_path, content):
        archive = tmp_path / "t.tar"
        if content is not None:
            archive.write_bytes(content)
        with pytest.raises(DataError, match=r"t\.tar.*download it again"):
            sample_data.load_hippocampi(archive)

    def test_an_archive_with_too_few_cases_is_refused(self, tmp_path, cases):
        few = dict(list(cases.items())[:3])
        with pytest.raises(DataError, match="is not the archive"):
            sample_data.load_hippocampi(write_archive(tmp_path / "t.tar", few))

    def test_a_broken_volume_leaves_the_scene_as_it_was(self, tmp_path, cases):
        member = tarfile.TarInfo("Task04_Hippocampus/labelsTr/hippocampus_002.nii.gz")
        archive = write_archive(tmp_path / "t.tar", cases, [(member, b"broken")])
        before = scene_counts()
        with pytest.raises(DataError, match=r"hippocampus_002.*cannot be read"):
            sample_data.load_hippocampi(archive)
        assert scene_counts() == before


class TestRegistration:
    def test_both_are_offered_with_their_pictures(self, sample_data_module):
        sample_data.register_sample_data()
        sources = sample_data_module[sample_data.CATEGORY]
        assert [source.sampleName for source in sources] == ["MedSegTrainerPhantoms", "MSDHippocampus"]
        for source in sources:
            assert slicer.app is not None and source.thumbnailFileName.endswith(".png")
            assert sample_data.ICONS.joinpath(source.thumbnailFileName).is_file()

    def test_a_second_time_changes_nothing(self, sample_data_module):
        sample_data.register_sample_data()
        sample_data.register_sample_data()
        assert len(sample_data_module[sample_data.CATEGORY]) == 2

    def test_a_click_on_the_phantoms_loads_them(self, sample_data_module):
        sample_data.register_sample_data()
        source = sample_data_module[sample_data.CATEGORY][0]
        assert len(source.customDownloader(source)) == 4
        assert "Phantom 4" in FakeLogic.messages[-1][1]

    def test_a_script_gets_the_phantoms_by_their_name(self, sample_data_module):
        sample_data.register_sample_data()
        nodes = FakeLogic().downloadFromSource(sample_data_module[sample_data.CATEGORY][0])
        assert [node.GetName() for node in nodes[:4]] == [f"Phantom {number}" for number in range(1, 5)]
        phantom = make_phantom_volume(1)
        assert np.array_equal(slicer.util.arrayFromVolume(nodes[1]), phantom.voxels)
        assert [row.name for row in pair_all(slicer.mrmlScene).rows] == ["Phantom 1", "Phantom 2", "Phantom 3"]
        for one in CLASSES:
            assert np.array_equal(segment_array(nodes[5], one.name, nodes[1]) > 0, phantom.labels == one.value)
        assert phantom_files.made_file("https://example.org/a.nrrd") == "https://example.org/a.nrrd"

    def test_a_click_on_the_hippocampi_loads_what_was_downloaded(self, sample_data_module, tmp_path, cases):
        FakeLogic.archive = write_archive(tmp_path / "t.tar", cases)
        assert len(sample_data.download_hippocampi()) == 6

    @pytest.mark.parametrize("failure", [ValueError("Failed to download"), OSError("no network")])
    def test_a_failed_download_is_a_line_in_the_log(self, sample_data_module, failure):
        FakeLogic.archive = failure
        assert sample_data.download_hippocampi() == []
        level, message = FakeLogic.messages[-1]
        assert level == 40 and str(failure) in message
        assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")

    def test_a_download_with_the_wrong_checksum_that_slicer_removed_is_told(self, sample_data_module, tmp_path):
        FakeLogic.archive = tmp_path / "removed.tar"
        assert sample_data.download_hippocampi() == []
        assert "download it again" in FakeLogic.messages[-1][1]
