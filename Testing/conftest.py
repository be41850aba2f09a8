"""What every test may ask for: a tiny volume that hides no mistake of axes, and the real data."""

from __future__ import annotations

import gc
import json
import locale
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from MedSegTrainerLib.imaging.geometry import Geometry

SEED = 20240607


def pytest_collection_finish() -> None:
    """What the imports left behind stays for good, so no collection need look through it again: each costs a second."""
    gc.freeze()


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(SEED)


@pytest.fixture
def oblique_geometry() -> Geometry:
    """Not cubic, anisotropic, tilted, with mirrored and exchanged axes, away from the origin."""
    rotation = Rotation.from_euler("xyz", (11, -7, 16), degrees=True).as_matrix()
    direction = rotation @ np.array([[0, -1, 0], [-1, 0, 0], [0, 0, -1]])
    return Geometry(
        size=(17, 13, 9), spacing=(0.8, 1.1, 2.5), origin=(-31.5, 12.25, 7.0), direction=tuple(direction.ravel())
    )


@pytest.fixture
def oblique_case(oblique_geometry: Geometry, generator: np.random.Generator) -> tuple[sitk.Image, sitk.Image]:
    """A float32 image and its uint8 label map: a box of label 1 with a smaller box of label 2 in it, off centre."""
    label = np.zeros(oblique_geometry.size_zyx, dtype=np.uint8)
    label[2:7, 3:10, 4:14] = 1
    label[3:5, 5:8, 6:10] = 2
    image = 100 + 80.0 * label + 10 * generator.standard_normal(label.shape)
    return oblique_geometry.place(image.astype(np.float32)), oblique_geometry.place(label)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real volumes beside the repository; the test is skipped where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs real volumes in {folder}")
    return folder


@contextmanager
def same_locale() -> Iterator[None]:
    """Writing DICOM leaves the process with the locale C, and all tests after it with ASCII files."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


@pytest.fixture
def write_series() -> Callable[..., Path]:
    """Writes a volume as a DICOM series into a folder, named so that names and places have different orders.

    ``tags`` pairs tags, such as ``0028|1053``, with their text, beside those that every slice has.
    """

    def write(image: sitk.Image, folder: Path, uid: str = "1.2.3.4", tags: Mapping[str, str] | None = None) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        direction = np.array(image.GetDirection()).reshape(3, 3)
        count = image.GetSize()[2]
        for index in range(count):
            piece = image[:, :, index]
            position = image.TransformIndexToPhysicalPoint((0, 0, index))
            values = {
                "0008|0060": "CT", "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0020|000d": "1.2.3", "0020|000e": uid,
                "0008|0018": f"{uid}.{index + 1}", "0020|0013": str(count - index), "0020|0052": "1.2.5",
                "0020|0032": "\\".join(f"{value:.10g}" for value in position),
                "0020|0037": "\\".join(f"{value:.10g}" for value in direction[:, :2].T.ravel()),
                "0018|0050": f"{image.GetSpacing()[2]:.10g}", **(tags or {}),
            }  # fmt: skip
            for key, value in values.items():
                piece.SetMetaData(key, value)
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            writer.SetImageIO("GDCMImageIO")
            writer.SetFileName(str(folder / f"{uid}_{(7 * index) % 101:03d}.dcm"))
            with same_locale():
                writer.Execute(piece)
        return folder

    return write


def new_object(sop_class: str, **elements: Any) -> pydicom.Dataset:
    """What every DICOM object has, and these elements; 1.2.3, 1.2.3.4 and 1.2.5 are those of ``write_series``."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{sop_class}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["a"])
    dataset.PatientName = dataset.PatientID = "P1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", "1.2.9", "1.2.5"
    dataset.update(item(**elements))
    return dataset


def item(**elements: Any) -> pydicom.Dataset:
    """An item of a sequence with elements by their keywords; what is None is left out."""
    dataset = pydicom.Dataset()
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def code(value: str, meaning: str, scheme: str = "SCT") -> list[pydicom.Dataset]:
    return [item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


@pytest.fixture
def write_seg() -> Callable[..., Path]:
    """Writes masks (z, y, x) of named segments as a DICOM SEG that refers to the series 1.2.3.4; frames without a voxel
    are left out. The axes of the grid must be right-handed.

    kind: BINARY, LABELMAP or FRACTIONAL, whose masks are shares of voxels. order: the frames' places in the file, from
    those by segment and slice. step: whether the distance between slices stands in it. elements: further ones.
    """

    def write(
        path: Path, grid: Geometry, masks: Mapping[str, np.ndarray], kind: str = "BINARY",
        order: Callable[[list[Any]], list[Any]] = list, step: bool = True, **elements: Any,
    ) -> Path:  # fmt: skip
        axes = np.array(grid.direction).reshape(3, 3)
        arrays = dict(enumerate(masks.values(), start=1))
        if kind == "LABELMAP":
            arrays = {0: np.max([number * (mask > 0) for number, mask in arrays.items()], axis=0)}
        frames = order([(n, z) for n, mask in arrays.items() for z in range(len(mask)) if mask[z].any()])
        scale = 200 if kind == "FRACTIONAL" else 1
        pixels = np.array([np.rint(arrays[n][z] * scale) for n, z in frames]).astype(np.uint8)
        bits = 1 if kind == "BINARY" else 8
        packed = np.packbits(pixels.ravel(), bitorder="little") if bits == 1 else pixels
        data = packed.tobytes() + b"\0" * (packed.nbytes % 2)
        measures = item(PixelSpacing=[grid.spacing[1], grid.spacing[0]], SliceThickness=9.0,
                        SpacingBetweenSlices=grid.spacing[2] if step else None)  # fmt: skip
        orientation = item(ImageOrientationPatient=axes[:, :2].T.ravel().tolist())
        seg = new_object(
            "66.7" if kind == "LABELMAP" else "66.4", Modality="SEG", SegmentationType=kind, NumberOfFrames=len(frames),
            Rows=grid.size[1], Columns=grid.size[0], SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2",
            BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=0, PixelData=data,
            MaximumFractionalValue=scale if kind == "FRACTIONAL" else None,
            ReferencedSeriesSequence=[item(SeriesInstanceUID="1.2.3.4")],
            SegmentSequence=[
                item(SegmentNumber=number, SegmentLabel=name,
                     RecommendedDisplayCIELabValue=[30000 + number, 40000, 20000],
                     SegmentedPropertyCategoryCodeSequence=code("123037004", "Anatomical Structure"),
                     SegmentedPropertyTypeCodeSequence=code("10200004", f"Kind of {name}"))
                for number, name in enumerate(masks, start=1)
            ],
            SharedFunctionalGroupsSequence=[
                item(PlaneOrientationSequence=[orientation], PixelMeasuresSequence=[measures])
            ],
            PerFrameFunctionalGroupsSequence=[
                item(
                    PlanePositionSequence=[item(ImagePositionPatient=[float(f"{part:.10g}") for part in
                                                grid.origin + axes[:, 2] * grid.spacing[2] * z])],
                    SegmentIdentificationSequence=[item(ReferencedSegmentNumber=n)] if n else None,
                )
                for n, z in frames
            ],
        )  # fmt: skip
        seg.update(item(**elements))
        seg.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def write_frames() -> Callable[..., Path]:
    """Writes a volume as a multi-frame CT, whose z axis must be the normal of its slices.

    order: slices in the order of the frames. scales: slope and intercept for all, or one for each slice; the values
    stored are those of the volume.
    """

    def write(
        path: Path, image: sitk.Image, order: Callable[[list[int]], list[int]] = list,
        scales: Sequence[tuple[float, float]] = ((1, 0),), **elements: Any,
    ) -> Path:  # fmt: skip
        slices = order(list(range(image.GetSize()[2])))
        axes = np.array(image.GetDirection()).reshape(3, 3)
        spacing = image.GetSpacing()
        frames = new_object(
            "2.1", Modality="CT", NumberOfFrames=len(slices), Rows=image.GetSize()[1], Columns=image.GetSize()[0],
            SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=16, HighBit=15,
            PixelRepresentation=1, PixelData=sitk.GetArrayFromImage(image)[slices].astype(np.int16).tobytes(),
            SharedFunctionalGroupsSequence=[
                item(PlaneOrientationSequence=[item(ImageOrientationPatient=axes[:, :2].T.ravel().tolist())],
                     PixelMeasuresSequence=[item(PixelSpacing=[spacing[1], spacing[0]], SliceThickness=9.0)])
            ],
            PerFrameFunctionalGroupsSequence=[
                item(PlanePositionSequence=[item(ImagePositionPatient=[float(f"{part:.10g}") for part in
                                                 image.TransformIndexToPhysicalPoint((0, 0, z))])],
                     PixelValueTransformationSequence=[
                         item(RescaleSlope=scale[0], RescaleIntercept=scale[1], RescaleType="HU")])
                for z in slices for scale in [scales[z % len(scales)]]
            ],
        )  # fmt: skip
        frames.update(item(**elements))
        frames.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def write_structures() -> Callable[..., Path]:
    """Writes contours as an RTSTRUCT of the series 1.2.3.4: name to polygons, each a slice z and its corners (n, 2) as
    x and y in voxels of the grid. further: elements of the object."""

    def write(
        path: Path, grid: Geometry, structures: Mapping[str, Sequence[tuple[int, Sequence[tuple[float, float]]]]],
        kind: str = "CLOSED_PLANAR", **further: Any,
    ) -> Path:  # fmt: skip
        axes = np.array(grid.direction).reshape(3, 3) * np.array(grid.spacing)

        def contour(z: int, corners: Sequence[tuple[float, float]]) -> pydicom.Dataset:
            points = np.array([(*corner, z) for corner in corners]) @ axes.T + np.array(grid.origin)
            return item(ContourGeometricType=kind, NumberOfContourPoints=len(points),
                        ContourData=[float(f"{part:.10g}") for part in points.ravel()])  # fmt: skip

        series = item(SeriesInstanceUID="1.2.3.4", ContourImageSequence=[])
        study = item(ReferencedSOPInstanceUID="1.2.3", RTReferencedSeriesSequence=[series])
        dataset = new_object(
            "481.3", Modality="RTSTRUCT", StructureSetLabel="A",
            ReferencedFrameOfReferenceSequence=[
                item(FrameOfReferenceUID="1.2.5", RTReferencedStudySequence=[study])
            ],
            StructureSetROISequence=[item(ROINumber=n, ROIName=name) for n, name in enumerate(structures)],
            ROIContourSequence=[
                item(ReferencedROINumber=n, ROIDisplayColor=[200, 10 * n, 3],
                     ContourSequence=[contour(z, corners) for z, corners in polygons])
                for n, polygons in enumerate(structures.values())
            ],
            RTROIObservationsSequence=[
                item(ReferencedROINumber=n, RTROIIdentificationCodeSequence=code("10200004", f"Kind of {name}"))
                for n, name in enumerate(structures)
            ],
        )  # fmt: skip
        dataset.update(item(**further))
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


NNUNET_RESAMPLING = {
    key: value
    for what, order in (("data", 3), ("probabilities", 1))
    for key, value in {
        f"resampling_fn_{what}": "resample_data_or_seg_to_shape",
        f"resampling_fn_{what}_kwargs": {"is_seg": False, "order": order, "order_z": 0, "force_separate_z": None},
    }.items()
}


def nnunet_plans(configuration: str, dims: int, architecture: Mapping[str, Any]) -> dict[str, Any]:
    """``plans.json`` with one configuration, of images of one channel with voxels of 2.5 x 1.1 x 0.8 mm."""
    return {
        "dataset_name": "Dataset004_Organs", "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
        "original_median_spacing_after_transp": [2.5, 1.1, 0.8], "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2], "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": 110.0, "std": 40.0, "percentile_00_5": 20.0, "percentile_99_5": 300.0}
        },
        "configurations": {
            configuration: {
                "preprocessor_name": "DefaultPreprocessor", "batch_size": 2, "patch_size": [8, 12, 16][3 - dims :],
                "spacing": [2.5, 1.1, 0.8][3 - dims :], "normalization_schemes": ["ZScoreNormalization"],
                "use_mask_for_norm": [True], **NNUNET_RESAMPLING, "architecture": architecture,
            }
        },
    }  # fmt: skip


@pytest.fixture(scope="session")
def write_nnunet() -> Callable[..., Path]:
    """Writes a model of two classes into a folder as nnU-Net leaves it, with its NumPy scalars, and returns that of its
    trainer. parameters: of a tiny network, as our plans have them."""

    def write(
        results: Path, *, folds: int = 1, architecture: str = "PlainConvUNet", epochs: int = 5,
        trainer: str = "nnUNetTrainer", **parameters: Any,
    ) -> Path:  # fmt: skip
        import torch  # which Slicer's Python, where this file is read too, does not have

        from MedSegTrainerLib.model.nnunet_architecture import plans_from_parameters
        from MedSegTrainerLib.model.nnunet_tensors import to_nnunet
        from MedSegTrainerLib.networks import build_network

        parameters = {
            "dims": 3, "in_channels": 1, "out_channels": 3, "features": [4, 6, 8], "blocks": [1, 2, 1],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]], "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "decoder_blocks": [2, 1], "deep_supervision": True, "conv_bias": True, "norm": "instance", "slope": 0.01,
            "dropout": 0.0, **parameters,
        }  # fmt: skip
        dims = parameters["dims"]
        configuration = {3: "3d_fullres", 2: "2d"}[dims]
        folder = results / "Dataset004_Organs" / f"{trainer}__nnUNetPlans__{configuration}"
        folder.mkdir(parents=True)
        plans = nnunet_plans(configuration, dims, plans_from_parameters(architecture, parameters))
        dataset = {
            "channel_names": {"0": "MR"}, "labels": {"background": 0, "liver": 1, "cyst": 2}, "numTraining": 7,
            "file_ending": ".nii.gz",
        }  # fmt: skip
        for name, content in (("plans", plans), ("dataset", dataset)):
            (folder / f"{name}.json").write_text(json.dumps(content))
        for fold in range(folds):
            torch.manual_seed(fold)
            state = build_network(architecture, parameters).state_dict()
            checkpoint = {
                "network_weights": to_nnunet(state, architecture, parameters),
                "optimizer_state": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.01}]},
                "grad_scaler_state": None, "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.6)]},
                "_best_ema": np.float64(0.7), "current_epoch": epochs, "trainer_name": trainer,
                "init_args": {
                    "plans": plans, "configuration": configuration, "fold": fold, "dataset_json": dataset,
                    "device": torch.device("cpu"),
                },
                "inference_allowed_mirroring_axes": tuple(range(dims)),
            }  # fmt: skip
            (folder / f"fold_{fold}").mkdir()
            torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
        return folder

    return write
