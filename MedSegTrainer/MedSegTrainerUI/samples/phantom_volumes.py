"""Made-up MR volumes of an abdomen with labels, for a first try without own data: numpy only, a blink each.

Organs are ellipsoids in the patient's millimetres. Every seed moves, stretches and bends them, tilts the grid,
and has its own contrast, shading and noise. (The library's phantom is richer, but needs packages that Slicer lacks.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MedSegTrainerLib.classes import LabelClass

LIVER, TUMOR, SPLEEN, KIDNEY = 1, 2, 3, 4
SHAPE = (30, 64, 80)  # voxels along k, j, i
SPACING = (6.0, 4.0, 4.0)  # mm along k, j, i
LARGEST_TILT_DEGREES = 12.0
EDGE_MM = 3.0  # an edge fades over this distance to either side, as voxels hold parts of both tissues
BODY_RADII = (136.0, 100.0)  # mm, right-left and front-back


def _terminology(category: str, structure: str, region: str = "^^") -> str:
    """Slicer's text form of a coded entry: seven parts."""
    context = "Segmentation category and type - 3D Slicer General Anatomy list"
    return "~".join((context, category, structure, "^^", "Anatomic codes - DICOM master list", region, "^^"))


ORGAN, CHANGE = "SCT^123037004^Anatomical Structure", "SCT^49755003^Morphologically Altered Structure"
LIVER_CODE = "SCT^10200004^Liver"
CLASSES = (
    LabelClass(value=LIVER, name="liver", color=(221, 130, 101), terminology=_terminology(ORGAN, LIVER_CODE)),
    LabelClass(
        value=TUMOR,
        name="tumor",
        color=(144, 238, 144),
        terminology=_terminology(CHANGE, "SCT^4147007^Mass", LIVER_CODE),
    ),
    LabelClass(
        value=SPLEEN, name="spleen", color=(157, 108, 162), terminology=_terminology(ORGAN, "SCT^78961009^Spleen")
    ),
    LabelClass(
        value=KIDNEY, name="kidneys", color=(90, 170, 225), terminology=_terminology(ORGAN, "SCT^64033007^Kidney")
    ),
)


@dataclass(frozen=True)
class PhantomVolume:
    """``voxels`` int16 and ``labels`` uint8, both (k, j, i); ``ijk_to_ras`` 4 x 4, mm."""

    voxels: np.ndarray
    labels: np.ndarray
    ijk_to_ras: np.ndarray


@dataclass(frozen=True)
class Organ:
    """An ellipsoid: ``center`` and ``radii`` in mm along right, anterior, superior; ``label`` None paints no label."""

    signal: float
    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    label: int | None = None


# What is painted later lies on top. Brightness is relative, as in T2-weighted MR.
ORGANS = (
    Organ(0.24, (0, 0, 0), (120, 85, 900)),  # wall of muscle
    Organ(0.72, (0, 6, 0), (108, 72, 900)),  # fat of the cavity
    Organ(0.50, (-10, 30, -55), (70, 34, 34)),  # bowel
    Organ(0.62, (-45, 30, 22), (36, 34, 40)),  # stomach
    Organ(0.40, (52, 4, 20), (54, 62, 62), LIVER),
    Organ(0.40, (2, 34, 34), (52, 28, 30), LIVER),
    Organ(0.82, (-80, -22, 26), (24, 40, 44), SPLEEN),
    Organ(0.72, (54, -47, -48), (30, 29, 50), 0),  # fat around the kidney, also towards the liver
    Organ(0.95, (54, -48, -48), (22, 22, 42), KIDNEY),
    Organ(0.95, (-54, -46, -40), (22, 22, 42), KIDNEY),
    Organ(0.72, (46, -45, -48), (7, 8, 15), 0),  # fat in the kidneys' middle
    Organ(0.72, (-46, -43, -40), (7, 8, 15), 0),
    Organ(1.05, (34, 40, -26), (12, 14, 22), 0),  # gallbladder
    Organ(0.08, (-12, -30, 0), (10, 10, 900), 0),  # aorta: flowing blood is dark
    Organ(0.45, (0, -56, 0), (22, 17, 900), 0),  # spine
    Organ(1.10, (0, -78, 0), (8, 6, 900), 0),
)
TUMOR_SIGNAL = 0.62


def make_phantom_volume(seed: int) -> PhantomVolume:
    """One case; the same seed makes the same case everywhere. All classes are in it."""
    generator = np.random.default_rng(seed)
    ijk_to_ras = _draw_grid(generator)
    points = _points_mm(ijk_to_ras)
    points -= points.mean(axis=(1, 2, 3), keepdims=True)
    bend = 5 * np.stack([_waves(points, generator, 150, 320) for _ in range(3)])
    signal, labels = _draw_organs(points + bend, generator)
    return PhantomVolume(_scan(signal, points, generator), labels, ijk_to_ras)


def _draw_organs(points: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Relative signal (float32) and labels (uint8), both (k, j, i)."""
    body = _depth(points, (0, 0, 0), (*BODY_RADII, 900))
    signal = 0.85 * _share(body)
    labels = np.zeros(points.shape[1:], dtype=np.uint8)
    for organ in ORGANS:
        center = organ.center + generator.uniform(-4, 4, 3)
        radii = organ.radii * generator.uniform(0.92, 1.08, 3)
        depth = np.minimum(_depth(points, center, radii), body - 14) if organ.label else _depth(points, center, radii)
        signal += _share(depth) * (organ.signal * generator.uniform(0.95, 1.05) - signal)
        if organ.label is not None:
            labels[depth > 0] = organ.label
    center = np.array((66, 4, 26)) + generator.uniform((-14, -22, -18), (14, 22, 18))
    depth = _depth(points, center, generator.uniform(17, 23, 3))
    signal += _share(depth) * (TUMOR_SIGNAL - signal)
    labels[depth > 0] = TUMOR
    return signal.astype(np.float32), labels


Triple = np.ndarray | tuple[float, ...]


def _depth(points: np.ndarray, center: Triple, radii: Triple) -> np.ndarray:
    """Distance inside an ellipsoid's surface in mm to first order, negative outside (Taubin 1991)."""
    radii = np.asarray(radii, dtype=np.float32).reshape(3, 1, 1, 1)
    scaled = (points - np.asarray(center, dtype=np.float32).reshape(3, 1, 1, 1)) / radii
    level = np.sqrt((scaled**2).sum(axis=0)) + 1e-3
    return (1 - level) * level / (np.sqrt(((scaled / radii) ** 2).sum(axis=0)) + 1e-3)


def _share(depth: np.ndarray) -> np.ndarray:
    return np.clip(0.5 + depth / (2 * EDGE_MM), 0, 1)


def _draw_grid(generator: np.random.Generator) -> np.ndarray:
    """IJK to RAS in mm: axes near left, posterior, superior, tilted about a random axis."""
    x, y, z = (axis := generator.standard_normal(3)) / np.linalg.norm(axis)
    angle = np.deg2rad(generator.uniform(4, LARGEST_TILT_DEGREES))
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross  # Rodrigues' formula
    matrix = np.eye(4)
    matrix[:3, :3] = rotation @ np.diag((-1, -1, 1)) @ np.diag(SPACING[::-1])
    middle = (np.array(SHAPE[::-1]) - 1) / 2
    matrix[:3, 3] = generator.uniform(-30, 30, 3) - matrix[:3, :3] @ middle
    return matrix


def _points_mm(ijk_to_ras: np.ndarray) -> np.ndarray:
    """RAS position of every voxel, float32 of shape (3, k, j, i)."""
    k, j, i = np.meshgrid(*(np.arange(count) for count in SHAPE), indexing="ij")
    rotated = np.tensordot(ijk_to_ras[:3, :3], np.stack([i, j, k]), axes=1)
    return (rotated + ijk_to_ras[:3, 3].reshape(3, 1, 1, 1)).astype(np.float32)


def _scan(signal: np.ndarray, points: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """int16 voxels: texture, uneven coil sensitivity and Rician noise (Gudbjartsson 1995) on the signal."""
    signal = signal * (1 + 0.05 * _waves(points, generator, 14, 40))
    signal = signal * np.exp(0.2 * _waves(points, generator, 350, 900))
    noise = generator.uniform(0.025, 0.04) * generator.standard_normal((2, *signal.shape))
    magnitude = np.sqrt((signal + noise[0]) ** 2 + noise[1] ** 2)
    return np.round(magnitude * generator.uniform(450, 900)).astype(np.int16)


def _waves(points: np.ndarray, generator: np.random.Generator, shortest_mm: float, longest_mm: float) -> np.ndarray:
    """A smooth random field of deviation about 1: plane waves of random direction, length and phase."""
    count = 6
    directions = generator.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    vectors = 2 * np.pi / generator.uniform(shortest_mm, longest_mm, (count, 1)) * directions
    phases = generator.uniform(0, 2 * np.pi, (count, 1, 1, 1))
    angles = np.tensordot(vectors.astype(np.float32), points, axes=1) + phases.astype(np.float32)
    return np.sin(angles).sum(axis=0) * np.float32(np.sqrt(2 / count))
