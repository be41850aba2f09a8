"""From files to the network's grid: the same whatever the axes of the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.plan import Normalization, Plan, Preparation, Resampling
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.samples.preprocess import (
    ANYWHERE,
    LOCATIONS_PER_CLASS,
    PreparedCase,
    class_indices,
    network_grid,
    prepare_case,
    prepare_image,
)
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical
from MedSegTrainerLib.imaging.label_maps import write_label_map


@pytest.fixture
def plan(tiny_plan: Plan) -> Plan:
    """Classes 2 and 1, in this order, so that indices are not the label values; another spacing than the volume."""
    classes = (
        LabelClass(value=2, name="inner", color=(1, 2, 3)),
        LabelClass(value=1, name="outer", color=(4, 5, 6)),
    )
    return replace(tiny_plan, classes=classes, spacing=(1.25, 0.55, 0.8))


def write(folder: Path, image: sitk.Image, label: sitk.Image) -> Case:
    folder.mkdir()
    sitk.WriteImage(image, str(folder / "image.nrrd"))
    sitk.WriteImage(label, str(folder / "label.nrrd"))
    return Case(name=folder.name, images=(folder / "image.nrrd",), label=folder / "label.nrrd")


def test_what_memory_cannot_hold_is_not_begun(plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image]) -> None:
    fine = replace(plan, spacing=(1e-3, 1e-3, 1e-3))
    with pytest.raises(DataError, match=r"0\.001 x 0\.001 x 0\.001 mm, the image would have .* GB of memory are free"):
        prepare_image([oblique_case[0]], fine)


class TestPrepareCase:
    @pytest.fixture
    def prepared(self, plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> PreparedCase:
        return prepare_case(write(tmp_path / "a", *oblique_case), plan)

    def test_shapes_and_types(self, prepared: PreparedCase, plan: Plan) -> None:
        # canonical axes: x of the file is y of the patient, and z stays; 2.5 / 1.25, 0.8 / 0.55 and 1.1 / 0.8
        shape = (18, round(17 * 0.8 / 0.55), round(13 * 1.1 / 0.8))
        assert (prepared.image.shape, prepared.image.dtype) == ((1, *shape), np.float32)
        assert (prepared.label.shape, prepared.label.dtype) == (shape, np.uint8)
        assert prepared.locations.dtype == np.int32

    def test_labels_are_class_indices_of_the_same_volume(self, prepared: PreparedCase, plan: Plan) -> None:
        volumes = np.bincount(prepared.label.ravel()) * np.prod((22.5 / 18, 13.6 / 25, 14.3 / 18))
        assert volumes[1:] == pytest.approx(np.array([24, 326]) * 0.8 * 1.1 * 2.5, rel=0.15)

    def test_segments_are_found_by_name(
        self, prepared: PreparedCase, plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path
    ) -> None:
        """The values are exchanged in the file, and it holds the labelled part of the grid only."""
        image, label = oblique_case
        case = write(tmp_path / "b", image, label)
        named = [replace(item, value=3 - item.value) for item in plan.classes]
        write_label_map(sitk.ChangeLabel(label, {1: 2, 2: 1})[3:15, 2:11, 1:8], tmp_path / "b" / "b.seg.nrrd", named)
        exchanged = replace(case, label=tmp_path / "b" / "b.seg.nrrd", segment_values={"inner": 2, "outer": 1})
        assert np.array_equal(prepare_case(exchanged, plan).label, prepared.label)

    def test_image_shows_the_labels(self, prepared: PreparedCase) -> None:
        means = [prepared.image[0][prepared.label == index].mean() for index in (0, 2, 1)]
        assert means[0] < means[1] < means[2]

    def test_its_grid_puts_the_labels_where_they_are_in_the_patient(
        self, prepared: PreparedCase, oblique_case: tuple[sitk.Image, sitk.Image]
    ) -> None:
        shapes = [sitk.LabelShapeStatisticsImageFilter() for _ in range(2)]
        for shape, image in zip(
            shapes, (oblique_case[1] > 0, prepared.geometry.place(prepared.label) > 0), strict=True
        ):
            shape.Execute(image)
        assert shapes[1].GetCentroid(1) == pytest.approx(shapes[0].GetCentroid(1), abs=0.3)

    def test_is_normalised(self, prepared: PreparedCase) -> None:
        assert prepared.image.mean() == pytest.approx(0, abs=1e-4)
        assert prepared.image.std() == pytest.approx(1, abs=1e-4)

    def test_locations_lie_on_their_class(self, prepared: PreparedCase) -> None:
        index, z, y, x = prepared.locations.T
        assert np.array_equal(prepared.label[z, y, x], index)
        counts = np.bincount(prepared.label.ravel())[1:]
        assert np.bincount(index)[1:].tolist() == counts.clip(max=LOCATIONS_PER_CLASS).tolist()

    @pytest.mark.parametrize("orientation", ["RAS", "ASL", "SPL", "PIR"])
    def test_does_not_depend_on_the_axes_of_the_file(
        self, prepared: PreparedCase, plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path,
        orientation: str,
    ) -> None:  # fmt: skip
        turned = [sitk.DICOMOrient(part, orientation) for part in oblique_case]
        other = prepare_case(write(tmp_path / orientation, *turned), plan)
        assert np.array_equal(other.label, prepared.label)
        assert other.image == pytest.approx(prepared.image, abs=1e-3)
        assert np.array_equal(other.locations, prepared.locations)


class TestLocations:
    @pytest.mark.parametrize("slices", [6, 11, 17])
    def test_are_spread_over_the_whole_structure(self, tiny_plan: Plan, tmp_path: Path, slices: int) -> None:
        """A structure of 1.2, 2.2 or 3.4 times as many voxels as are kept: the last slices count like the first."""
        plan = replace(tiny_plan, spacing=(1.0, 1.0, 1.0))
        label = np.zeros((20, 24, 26), np.uint8)
        label[1 : 1 + slices, 2:22, 3:23] = 3
        geometry = Geometry(size=(26, 24, 20))
        case = write(tmp_path / "a", geometry.place(label.astype(np.float32)), geometry.place(label))
        locations = prepare_case(case, plan).locations
        assert len(locations) == len(np.unique(locations, axis=0)) == LOCATIONS_PER_CLASS
        per_slice = np.bincount(locations[:, 1], minlength=20)[1 : 1 + slices]
        assert per_slice.max() - per_slice.min() <= 2

    def test_of_a_case_without_structures(self, plan: Plan, tmp_path: Path) -> None:
        image = Geometry(size=(5, 6, 7)).place(np.ones((7, 6, 5), np.float32))
        prepared = prepare_case(write(tmp_path / "a", image, sitk.Cast(image * 0, sitk.sitkUInt8)), plan)
        assert prepared.locations.shape == (0, 4)


class TestUnlabelled:
    def test_it_is_kept_through_resampling_and_no_patch_is_centred_there(
        self, plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path
    ) -> None:
        """The inner box, label 2, is what nobody labelled: a class less and a hole with the same voxels."""
        case = write(tmp_path / "a", *oblique_case)
        both = prepare_case(case, plan)
        outer = replace(plan, classes=plan.classes[1:], ignore_label=2)
        prepared = prepare_case(case, outer)
        assert prepared.label.dtype == np.int16
        assert np.array_equal(prepared.label == -1, both.label == 1)
        assert np.array_equal(prepared.label == 1, both.label == 2)
        of_class, anywhere = (prepared.locations[prepared.locations[:, 0] == index] for index in (1, ANYWHERE))
        assert (prepared.label[tuple(anywhere[:, 1:].T)] >= 0).all() and len(anywhere) == LOCATIONS_PER_CLASS
        assert np.array_equal(of_class[:, 1:], both.locations[both.locations[:, 0] == 2][:, 1:])
        assert set(prepared.locations[:, 0]) == {ANYWHERE, 1}


class TestPrepareImage:
    def test_channels_have_their_own_normalisation(
        self, plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image]
    ) -> None:
        normalization = (Normalization(method="ct", low=0, high=100, mean=50, std=10), Normalization(method="none"))
        image = oblique_case[0]
        prepared, grid = prepare_image([image, image], replace(plan, normalization=normalization))
        assert prepared.shape == (2, *grid.size_zyx)
        assert prepared[0] == pytest.approx((prepared[1].clip(0, 100) - 50) / 10, abs=1e-4)

    def test_on_its_own_grid_no_voxel_is_interpolated(self, plan: Plan) -> None:
        array = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
        image = Geometry(size=(3, 4, 5), spacing=(0.8, 1.1, 2.5)).place(array)
        same = replace(plan, spacing=(2.5, 1.1, 0.8), normalization=(Normalization(method="none"),))
        assert np.array_equal(prepare_image([image], same)[0][0], array)


class TestNetworkGrid:
    def test_in_3d_all_axes_have_the_planned_spacing(self, plan: Plan, oblique_geometry: Geometry) -> None:
        grid = network_grid(oblique_geometry, replace(plan, spacing=(1.25, 0.55, 0.4)))
        assert grid.spacing == pytest.approx((0.4, 0.55, 1.25))

    def test_in_2d_slices_stay_where_they_are(self, plan: Plan, oblique_geometry: Geometry) -> None:
        grid = network_grid(oblique_geometry, replace(plan, dims=2, spacing=(9.0, 0.55, 0.4)))
        assert grid.spacing == pytest.approx((0.4, 0.55, 2.5))
        assert grid.size[2] == oblique_geometry.size[2]

    @pytest.mark.parametrize(
        ("image_size", "size"), [((34, 34), (34, 26, 9)), ((13, 13), (13, 10, 9)), ((26, 100), (34, 26, 9))]
    )
    def test_of_an_image_size_the_longer_side_fits(
        self, plan: Plan, oblique_geometry: Geometry, image_size: tuple[int, int], size: tuple[int, int, int]
    ) -> None:
        """17 x 13 pixels of 0.8 x 1.1 mm; the box around them stays, slices too."""
        grid = network_grid(oblique_geometry, replace(plan, dims=2, spacing=(9.0, 9.0, 9.0), image_size=image_size))
        assert grid.size == size
        box = np.array(oblique_geometry.size) * oblique_geometry.spacing
        assert np.array(grid.size) * grid.spacing == pytest.approx(box)
        assert grid.spacing[2] == oblique_geometry.spacing[2]

    def test_images_of_any_size_become_one(self, plan: Plan) -> None:
        flat = replace(plan, dims=2, image_size=(64, 64))
        sizes = {network_grid(Geometry(size=(n, n, 1)), flat).size for n in (17, 63, 64, 65, 300, 1023)}
        assert sizes == {(64, 64, 1)}


class TestClassIndices:
    def test_values_that_are_no_class_become_background(self, plan: Plan) -> None:
        indices = class_indices(np.array([[[0, 1, 2, 3, -1, 255]]]), plan)
        assert indices.tolist() == [[[0, 2, 1, 0, 0, 0]]]

    @pytest.mark.parametrize("value, stored", [(1, 255), (255, 1), (1, 1)])
    def test_a_binary_mask_may_have_either_value(self, plan: Plan, value: int, stored: int) -> None:
        single = replace(plan, classes=(LabelClass(value=value, name="cell", color=(0, 0, 0)),))
        assert class_indices(np.array([[[0, stored, stored]]]), single).tolist() == [[[0, 1, 1]]]

    def test_many_classes_need_more_than_a_byte(self, plan: Plan) -> None:
        many = tuple(LabelClass(value=1000 + i, name=str(i), color=(0, 0, 0)) for i in range(300))
        indices = class_indices(np.array([[[1299, 1255, 1000, 0]]]), replace(plan, classes=many))
        assert indices.tolist() == [[[300, 256, 1, 0]]]

    def test_voxels_that_nobody_labelled_are_below_0(self, plan: Plan) -> None:
        indices = class_indices(np.array([[[0, 1, 255, 2, 3]]]), replace(plan, ignore_label=255))
        assert indices.tolist() == [[[0, 2, -1, 1, 0]]]

    def test_canonical_axes_of_the_fixture_are_not_those_of_its_file(self, oblique_geometry: Geometry) -> None:
        """Otherwise the tests above would not see a mistake of axes."""
        image = sitk.Image(oblique_geometry.size, sitk.sitkUInt8)
        image.SetDirection(oblique_geometry.direction)
        assert to_canonical(image).GetSize() != image.GetSize()


class TestAsElsewhere:
    """A plan of another program: axes of the file, cropped to what is not 0, normalised before it is resampled."""

    @pytest.fixture
    def elsewhere(self, plan: Plan) -> Plan:
        preparation = Preparation(
            image=Resampling(order=3, order_z=0), logits=Resampling(order=1, order_z=0), transpose=(2, 0, 1)
        )
        masked = (Normalization(method="zscore", masked=True),)
        return replace(plan, spacing=(0.9, 1.3, 1.0), preparation=preparation, normalization=masked)

    @pytest.fixture
    def case(self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> Case:
        """Of the oblique case only a box is left, whose label is as bright as its number."""
        label = sitk.GetArrayFromImage(oblique_case[1]).astype(np.int16)
        values = np.zeros(label.shape, np.float32)
        box = tuple(slice(max(0, one.min() - 1), one.max() + 2) for one in np.nonzero(label))
        values[box] = 10 + 5 * label[box]
        image = sitk.GetImageFromArray(values)
        image.CopyInformation(oblique_case[1])
        return write(tmp_path / "box", image, oblique_case[1])

    def test_labels_lie_on_the_image(self, elsewhere: Plan, case: Case) -> None:
        prepared = prepare_case(case, elsewhere)
        image, label = prepared.image[0], prepared.label
        assert image.shape == label.shape == prepared.geometry.size_zyx
        assert {int(index) for index in np.unique(label)} == {0, 1, 2}
        bright = [float(np.median(image[label == index])) for index in (0, 2, 1)]  # index 1 is the value 2
        assert bright[0] < bright[1] < bright[2]

    def test_every_voxel_knows_where_it_lies(self, elsewhere: Plan, case: Case) -> None:
        prepared = prepare_case(case, elsewhere)
        original = sitk.ReadImage(str(case.label))
        places = [
            grid.TransformContinuousIndexToPhysicalPoint([float(np.mean(one)) for one in reversed(np.nonzero(mask))])
            for grid, mask in (
                (original, sitk.GetArrayFromImage(original) > 0),
                (prepared.geometry.place(prepared.label), prepared.label > 0),
            )
        ]
        assert np.linalg.norm(np.subtract(*places)) < 0.5

    def test_mean_and_deviation_are_those_of_the_mask_before_resampling(self, elsewhere: Plan, case: Case) -> None:
        unchanged = sitk.ReadImage(str(case.images[0]))
        x, y, z = unchanged.GetSpacing()
        same = replace(elsewhere, spacing=(x, z, y))
        (image, _), values = prepare_image([unchanged], same), sitk.GetArrayFromImage(unchanged)
        inside = values[values != 0]
        box = values[np.ix_(*(np.unique(one) for one in np.nonzero(values)))]
        expected = np.where(box != 0, (box - inside.mean()) / inside.std(), 0).transpose(2, 0, 1)
        np.testing.assert_allclose(image[0], expected, atol=1e-5)

    def test_nothing_is_clipped_that_the_other_program_does_not_clip(self, elsewhere: Plan, case: Case) -> None:
        hot = sitk.ReadImage(str(case.images[0]))
        hot[hot.GetSize()[0] // 2, hot.GetSize()[1] // 2, hot.GetSize()[2] // 2] = 1e7
        image, _ = prepare_image([hot], replace(elsewhere, normalization=(Normalization(method="none"),)))
        assert image.max() > 1e6
