"""Made-up MR volumes of an upper abdomen with exact label maps: data for the demo, for tests and for a first try.

The anatomy is a list of shapes in the patient's millimetres, painted one over the other on an oblique
grid. Every case bends, shifts and scales it in its own way and has its own contrast, coil shading and noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from MedSegTrainerLib import atomic
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map

LIVER, PORTAL_VEIN, TUMOR, SPLEEN = 1, 2, 3, 4
CLASS_NAMES = {LIVER: "liver", PORTAL_VEIN: "portal vein", TUMOR: "tumor", SPLEEN: "spleen"}
ORIENTATIONS = ("LPS", "RAS", "LAS", "LIP", "PSR", "RSA")
SMALLEST_STRUCTURE = 150  # voxels; a case with a smaller one is drawn again
ATTEMPTS = 50
MAX_TILT_DEGREES = 20.0
EDGE_MM = 2.5  # an edge fades over this distance to either side, as voxels hold parts of both tissues
RIM_MM = 3.5  # fat between an organ and the bowel, which may be as bright as the organ
SEEDS_PER_SERIES = 1000

# Brightness of T2-weighted MR, relative; what is not listed keeps what lies below it.
SIGNAL = {
    "fat": 0.8, "muscle": 0.22, "bowel": 0.45, "liver": 0.42, "spleen": 0.66, "kidney": 0.74, "stomach": 0.54,
    "bile": 1.1, "lung": 0.06, "gas": 0.04, "blood": 0.9, "tumor": 0.7, "vessel": 0.1,
    "bone": 0.5, "disc": 0.34, "nerve fluid": 1.2,
}  # fmt: skip

Vector = tuple[float, float, float]


def make_phantom(seed: int) -> tuple[sitk.Image, sitk.Image]:
    """An int16 image and its uint8 label map (values: ``CLASS_NAMES``), about 80 x 72 x 32 voxels of 3.5 x 3.5 x 6 mm.

    All four structures are there, the smallest with at least 150 voxels. The same seed draws the same
    case on every machine.
    """
    generator = np.random.default_rng(seed)
    for _ in range(ATTEMPTS):
        grid, center = _draw_grid(generator)
        signal, label = _draw_anatomy(_points_mm(grid, center), generator)
        if min(np.count_nonzero(label == value) for value in CLASS_NAMES) >= SMALLEST_STRUCTURE:
            break
    else:
        msg = f"Seed {seed} gave no case with all structures in {ATTEMPTS} attempts"
        raise RuntimeError(msg)
    image = grid.place(_scan(signal, generator))
    orientation = ORIENTATIONS[generator.integers(len(ORIENTATIONS))]
    return sitk.DICOMOrient(image, orientation), sitk.DICOMOrient(grid.place(label), orientation)


def write_phantoms(folder: Path, *, train: int, held_out: int, seed: int = 0) -> None:
    """``train`` cases as a data set with ``dataset.json``, and ``held_out`` others as two folders, under ``folder``.

    ``folder/train/{imagesTr,labelsTr}/case_000.nii.gz`` and so on; ``folder/held_out/{images,labels}`` with the
    same name for an image and its label map. Raises StorageError.
    """
    for index in range(train + held_out):
        training = index < train
        target = folder / ("train" if training else "held_out")
        name = f"case_{index:03d}.nii.gz"
        image, label = make_phantom(seed * SEEDS_PER_SERIES + index)
        # The image too: its numbers are whole, and writing at once is the same.
        write_label_map(image, target / ("imagesTr" if training else "images") / name, [])
        write_label_map(label, target / ("labelsTr" if training else "labels") / name, [])
    names = [f"case_{index:03d}.nii.gz" for index in range(train)]
    description = {
        "name": "Phantom abdomen",
        "description": "Made-up MR volumes of an upper abdomen (MedSegTrainerLib.data.phantom)",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", **{str(value): name for value, name in CLASS_NAMES.items()}},
        "numTraining": train,
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
    }
    atomic.write_json(folder / "train" / "dataset.json", description)


# --- Shapes: depth in mm inside the surface, negative outside, at points of shape (3, ...) in LPS mm ---


@dataclass(frozen=True)
class Ellipsoid:
    """Centre and half axes along LPS; ``exponent`` above 2 makes it boxier; a half axis may be infinite."""

    center: Vector
    radii: Vector
    exponent: float = 2.0

    def depth(self, points: np.ndarray) -> np.ndarray:
        """First-order distance f / |grad f| for f = 1 - (sum |x / r|^n)^(1/n) (Taubin 1991)."""
        shape = (3,) + (1,) * (points.ndim - 1)
        radii = np.array(self.radii, dtype=points.dtype).reshape(shape)
        scaled = np.abs(points - np.array(self.center, dtype=points.dtype).reshape(shape)) / radii
        level = (scaled**self.exponent).sum(axis=0) ** (1 / self.exponent) + 1e-3
        slope = np.sqrt((((scaled / level) ** (self.exponent - 1) / radii) ** 2).sum(axis=0))
        return (1 - level) / (slope + 1e-3)

    def varied(self, generator: np.random.Generator, shift_mm: float = 4.0, stretch: float = 0.07) -> Ellipsoid:
        """A case's own: moved by up to ``shift_mm`` and scaled by up to ``stretch`` along each axis."""
        center = np.array(self.center) + generator.uniform(-shift_mm, shift_mm, 3)
        radii = np.array(self.radii) * generator.uniform(1 - stretch, 1 + stretch, 3)
        return Ellipsoid(tuple(center), tuple(radii), self.exponent)


@dataclass(frozen=True)
class Tube:
    """Balls along a curve: centres of shape (n, 3) and radii of shape (n,)."""

    centers: np.ndarray
    radii: np.ndarray

    def depth(self, points: np.ndarray) -> np.ndarray:
        distance, nearest = cKDTree(self.centers).query(points.reshape(3, -1).T)
        return (self.radii[nearest] - distance).reshape(points.shape[1:])


def _bezier(start: Vector, control: Vector, end: Vector, radii: tuple[float, float]) -> Tube:
    t = np.linspace(0, 1, 40)[:, None]
    centers = (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(control) + t**2 * np.array(end)
    return Tube(centers, np.linspace(*radii, 40))


def _joined(tubes: Sequence[Tube]) -> Tube:
    return Tube(np.concatenate([tube.centers for tube in tubes]), np.concatenate([tube.radii for tube in tubes]))


# --- The anatomy ---


class _Canvas:
    """Signal and labels at points of shape (3, z, y, x); what is painted later lies on top."""

    def __init__(self, points: np.ndarray, generator: np.random.Generator) -> None:
        self.points = points
        self.generator = generator
        self.signal = np.zeros(points.shape[1:], dtype=np.float32)
        self.label = np.zeros(points.shape[1:], dtype=np.uint8)

    def paint(self, depth: np.ndarray, tissue: str, label: int | None = 0) -> None:
        """Lays a tissue where ``depth`` is positive; label None leaves the labels below as they are."""
        contrast = self.generator.uniform(0.92, 1.08)
        share = np.clip(0.5 + depth / (2 * EDGE_MM), 0, 1)
        self.signal += share * (SIGNAL[tissue] * contrast - self.signal)
        if label is not None:
            self.label[depth > 0] = label

    def rough(self, shape: Ellipsoid, amplitude_mm: float = 2.0) -> np.ndarray:
        """Depth of a shape of this case's own size and place, with bumps on its surface."""
        bumps = _waves(self.points, self.generator, shortest_mm=35, longest_mm=90)
        return shape.varied(self.generator).depth(self.points) + amplitude_mm * bumps


def _draw_anatomy(points: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Relative signal (float32) and labels (uint8), both (z, y, x)."""
    bend = [_waves(points, generator, shortest_mm=140, longest_mm=320) for _ in range(3)]
    canvas = _Canvas(points * generator.uniform(0.94, 1.04) + 6 * np.stack(bend), generator)
    cavity = _paint_wall(canvas)
    _paint_left_side(canvas, cavity)
    _paint_liver(canvas, cavity)
    _paint_behind(canvas)
    return canvas.signal, canvas.label


def _paint_wall(canvas: _Canvas) -> np.ndarray:
    """Skin fat, muscle and the cavity with bowel in fat; returns the depth in the cavity, chest left out."""
    body = Ellipsoid((0, 0, 0), (128, 94, np.inf), exponent=2.4).depth(canvas.points)
    fat = canvas.generator.uniform(9, 16)
    canvas.paint(body, "fat")
    canvas.paint(body - fat, "muscle")
    cavity = body - fat - canvas.generator.uniform(7, 10)
    canvas.paint(cavity, "fat")
    loops = gaussian_filter(canvas.generator.standard_normal(cavity.shape), (1.0, 2.0, 2.0))
    canvas.paint(np.minimum(cavity - 3, 4 * loops / loops.std()), "bowel")
    canvas.paint(np.minimum(cavity - 3, 4 * loops / loops.std() - 6), "bile")
    return _paint_chest(canvas, cavity)


def _paint_chest(canvas: _Canvas, cavity: np.ndarray) -> np.ndarray:
    """Lungs and heart; returns the depth in the part of the cavity below the diaphragm."""
    x, y, z = canvas.points
    height = canvas.generator.uniform(66, 76)
    dome = height - ((np.abs(x) - 48) / 13) ** 2 - ((y + 4) / 13) ** 2 - np.where(x > 0, 6, 0)
    canvas.paint(np.minimum(cavity, z - dome), "lung")
    canvas.paint(np.minimum(cavity, canvas.rough(Ellipsoid((14, -24, 96), (48, 40, 38)))), "muscle")
    canvas.paint(np.minimum(cavity, canvas.rough(Ellipsoid((16, -24, 98), (34, 26, 28)))), "blood")
    return np.minimum(cavity, dome - z)


def _paint_left_side(canvas: _Canvas, cavity: np.ndarray) -> None:
    stomach = np.minimum(canvas.rough(Ellipsoid((48, -34, 22), (40, 34, 46))), cavity - 3)
    canvas.paint(stomach, "stomach")
    gas_below = -50 + canvas.generator.uniform(-6, 6) - canvas.points[1]  # gas rises to the front of who lies
    canvas.paint(np.minimum(stomach - 4, gas_below), "gas")
    spleen = np.minimum(canvas.rough(Ellipsoid((84, 26, 28), (27, 44, 50))), cavity - 2)
    canvas.paint(np.minimum(spleen + RIM_MM, cavity), "fat")
    canvas.paint(spleen, "spleen", SPLEEN)


def _paint_liver(canvas: _Canvas, cavity: np.ndarray) -> None:
    """The liver with its portal vein and a tumor, and the gallbladder under it."""
    generator = canvas.generator
    right, left = Ellipsoid((-56, -2, 22), (66, 68, 72)), Ellipsoid((6, -42, 36), (58, 34, 38))
    lobes = np.maximum(canvas.rough(right), canvas.rough(left))
    canvas.paint(np.minimum(lobes + RIM_MM, cavity), "fat")
    canvas.paint(np.minimum(lobes, cavity - 2), "liver", LIVER)
    vein = _portal_vein(generator)
    tumor = _ball_inside(generator, right, generator.uniform(20, 25), vein)
    bumps = _waves(canvas.points, generator, shortest_mm=20, longest_mm=45)
    canvas.paint(tumor.depth(canvas.points) + 1.5 * bumps, "tumor", TUMOR)
    canvas.paint(vein.depth(canvas.points), "vessel", PORTAL_VEIN)
    canvas.paint(canvas.rough(Ellipsoid((-38, -44, -34), (15, 17, 26))), "bile")


def _portal_vein(generator: np.random.Generator) -> Tube:
    """A trunk from the hilum and its two branches."""

    def near(x: float, y: float, z: float) -> Vector:
        return tuple(np.array((x, y, z)) + generator.uniform(-6, 6, 3))

    fork = near(-32, -2, 20)
    width = generator.uniform(0.92, 1.1)
    trunk = _bezier(near(2, 8, -14), near(-18, 8, 4), fork, (10 * width, 9.5 * width))
    right = _bezier(fork, near(-58, 8, 26), near(-82, 2, 40), (9 * width, 7.5 * width))
    left = _bezier(fork, near(-22, -26, 36), near(8, -42, 42), (8.5 * width, 7 * width))
    return _joined([trunk, right, left])


def _ball_inside(generator: np.random.Generator, organ: Ellipsoid, radius: float, avoid: Tube) -> Tube:
    """A ball at a random place of the organ, its surface as far as possible at least 4 mm off ``avoid``."""
    inside = organ.radii - np.full(3, radius + 16)
    directions = generator.standard_normal((200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centers = organ.center + directions * inside * generator.uniform(0, 1, (200, 1)) ** (1 / 3)
    free = -avoid.depth(centers.T) - radius
    chosen = int(np.argmax(free > 4)) if (free > 4).any() else int(np.argmax(free))
    return Tube(centers[chosen : chosen + 1], np.array([radius]))


def _paint_behind(canvas: _Canvas) -> None:
    """Kidneys, aorta and vena cava, spine and the muscles along it: alike in brightness, and not labelled."""
    points = canvas.points
    for side in (-1, 1):
        canvas.paint(canvas.rough(Ellipsoid((side * 54, 46, -52), (24, 23, 44))), "kidney")
        canvas.paint(canvas.rough(Ellipsoid((side * 46, 42, -52), (9, 10, 20))), "fat")
        canvas.paint(canvas.rough(Ellipsoid((side * 36, 66, 0), (26, 20, np.inf))), "muscle")
    canvas.paint(Ellipsoid((12, 30, 0), (10, 10, np.inf)).varied(canvas.generator).depth(points), "vessel")
    canvas.paint(Ellipsoid((-20, 30, 0), (12, 10, np.inf)).varied(canvas.generator).depth(points), "vessel")
    vertebra = Ellipsoid((0, 52, 0), (22, 17, np.inf)).varied(canvas.generator, shift_mm=2).depth(points)
    canvas.paint(vertebra, "bone")
    heights = np.abs((points[2] + canvas.generator.uniform(0, 34)) % 34 - 17)
    canvas.paint(np.minimum(vertebra, 4.5 - heights), "disc")
    canal = Ellipsoid((0, 76, 0), (8, 7, np.inf)).varied(canvas.generator, shift_mm=2)
    canvas.paint(canal.depth(points), "nerve fluid")


# --- The scanner ---


def _draw_grid(generator: np.random.Generator) -> tuple[Geometry, Vector]:
    """An oblique grid, its axes near LPS, and the LPS point in its middle."""
    size = (int(generator.integers(76, 87)), int(generator.integers(68, 77)), int(generator.integers(29, 35)))
    in_plane, between = generator.uniform(3.4, 3.75), generator.uniform(5.6, 6.4)
    axis = generator.standard_normal(3)
    tilt = np.deg2rad(generator.uniform(4, MAX_TILT_DEGREES))
    rotation = Rotation.from_rotvec(tilt * axis / np.linalg.norm(axis)).as_matrix()
    center = generator.uniform(-40, 40, 3)
    spacing = np.array((in_plane, in_plane, between))
    origin = center - rotation @ ((np.array(size) - 1) / 2 * spacing)
    grid = Geometry(size=size, spacing=tuple(spacing), origin=tuple(origin), direction=tuple(rotation.ravel()))
    return grid, tuple(center)


def _points_mm(grid: Geometry, center: Vector) -> np.ndarray:
    """LPS position of every voxel relative to ``center``, float32 of shape (3, z, y, x)."""
    axes = [np.arange(count, dtype=np.float32) * step for count, step in zip(grid.size, grid.spacing, strict=True)]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    rotated = np.tensordot(np.array(grid.direction).reshape(3, 3), np.stack([x, y, z]), axes=1)
    offset = np.array(grid.origin) - center
    return (rotated + offset[:, None, None, None]).astype(np.float32)


def _scan(signal: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """int16 voxels: tissue texture, uneven coil sensitivity and Rician noise (Gudbjartsson 1995) on the signal."""
    texture = gaussian_filter(generator.standard_normal(signal.shape), (0.5, 1.0, 1.0))
    signal = signal * (1 + 0.04 * texture / texture.std())
    index = np.stack(np.meshgrid(*(np.linspace(0, 100, count) for count in signal.shape), indexing="ij"))
    signal = signal * np.exp(0.22 * _waves(index, generator, shortest_mm=150, longest_mm=400))
    noise = generator.uniform(0.025, 0.045) * generator.standard_normal((2, *signal.shape))
    magnitude = np.sqrt((signal + noise[0]) ** 2 + noise[1] ** 2)
    return np.round(magnitude * generator.uniform(400, 1100)).astype(np.int16)


def _waves(points: np.ndarray, generator: np.random.Generator, *, shortest_mm: float, longest_mm: float) -> np.ndarray:
    """A smooth random field of deviation about 1: plane waves of random direction, length and phase."""
    count = 6
    directions = generator.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    vectors = 2 * np.pi / generator.uniform(shortest_mm, longest_mm, (count, 1)) * directions
    phases = generator.uniform(0, 2 * np.pi, count)
    field = np.zeros(points.shape[1:], dtype=np.float32)
    for vector, phase in zip(vectors.astype(np.float32), phases.astype(np.float32), strict=True):
        field += np.sin(np.tensordot(vector, points.astype(np.float32, copy=False), axes=1) + phase)
    return field * np.float32(np.sqrt(2 / count))
