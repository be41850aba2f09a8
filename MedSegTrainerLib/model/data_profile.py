"""What the images of a training were like, kept in its model, and in what an image to segment is unlike them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from MedSegTrainerLib.config.plan import Normalization, Plan
from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.checks.case_statistics import sampling_step, value_range
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.imaging.geometry import Geometry

SCHEMA_VERSION = 1
VOLUME_SAMPLES = 20_000
SPACING_FACTOR, EXTENT_FACTOR = 1.5, 1.5  # beyond the smallest and largest of the training: augmentation reaches less
FIXED_SCALES = ("ct", "sigmoid", "none")  # other normalisations forgive a new scale
INTENSITY_SLACK, SCALED_SLACK = 0.25, 1.0  # of the training's range
NARROW, SCALED_NARROW = 4.0, 20.0  # times less than the narrowest of the training
FLAT = 0.01  # deviation within the range that a CT model looks at, as a share of it: a body has more
EXTREMES: dict[str, Callable[..., float]] = {"highest_low": max, "lowest_high": min, "narrowest": min}
Axes = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
AxisRanges = tuple[Axes, Axes, Axes]
PLANES = {"R": "sagittal", "L": "sagittal", "A": "coronal", "P": "coronal", "I": "axial", "S": "axial"}


@dataclass(kw_only=True)
class _Channel:
    name: str
    lowest: FiniteFloat
    highest: FiniteFloat
    median_low: FiniteFloat
    median_high: FiniteFloat
    highest_low: FiniteFloat = 0
    lowest_high: FiniteFloat = 0
    narrowest: FiniteFloat = 0


@dataclass(kw_only=True)
class _Profile:
    """The form of what ``describe`` returns."""

    schema_version: int
    cases: int
    spacing_mm: AxisRanges
    size_voxels: AxisRanges
    extent_mm: AxisRanges
    planes: dict[str, int]
    channels: list[_Channel]


def describe(scans: Sequence[CaseScan], channel_names: Sequence[str]) -> dict[str, Any]:
    """Numbers of cases, voxels, sizes, intensities and slice planes, for ``model.json``.

    spacing_mm, size_voxels and extent_mm: [smallest, median, largest] along z, y and x in canonical axes.
    channels: for each the darkest 0.5 and the brightest 99.5 percentile of any whole image, and their medians; the
    brightest of the dark and the darkest of the bright ones; and the smallest distance between both in an image.
    planes: slice plane to number of cases. No scans, or scans without stats, give {}.
    """
    stats = [scan.stats for scan in scans if scan.stats is not None]
    if not scans or len(stats) < len(scans):
        return {}
    spacings = np.array([scan.geometry.spacing_zyx for scan in scans])
    sizes = np.array([scan.geometry.size_zyx for scan in scans])
    planes = [plane_of(one.direction) for one in stats]
    ranges = np.array([one.ranges for one in stats])  # (cases, channels, 2)
    return {
        "schema_version": SCHEMA_VERSION,
        "cases": len(scans),
        "spacing_mm": _axis_ranges(spacings),
        "size_voxels": _axis_ranges(sizes),
        "extent_mm": _axis_ranges(spacings * sizes),
        "planes": {plane: planes.count(plane) for plane in sorted(set(planes))},
        "channels": [
            {
                "name": name,
                "lowest": _short(ranges[:, index, 0].min()),
                "highest": _short(ranges[:, index, 1].max()),
                "median_low": _short(np.median(ranges[:, index, 0])),
                "median_high": _short(np.median(ranges[:, index, 1])),
                "highest_low": _short(ranges[:, index, 0].max()),
                "lowest_high": _short(ranges[:, index, 1].min()),
                "narrowest": _short((ranges[:, index, 1] - ranges[:, index, 0]).min()),
            }
            for index, name in enumerate(channel_names)
        ],
    }


def combine(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What ``describe`` gave of several trainings on the same channels, as of all their cases; {} if one is unknown.

    Medians are the means of those of the members; a case in several of them counts once in the largest of them only.
    """
    if not members or any(data.get("schema_version") != SCHEMA_VERSION for data in members):
        return {}
    joined: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "cases": max(data["cases"] for data in members)}
    for key in ("spacing_mm", "size_voxels", "extent_mm"):
        low, middle, high = zip(*(data[key] for data in members), strict=True)
        rows = (np.min(low, axis=0), np.mean(middle, axis=0), np.max(high, axis=0))
        joined[key] = [[_short(value) for value in row] for row in rows]
    planes = sorted({plane for data in members for plane in data["planes"]})
    joined["planes"] = {plane: max(data["planes"].get(plane, 0) for data in members) for plane in planes}
    joined["channels"] = [
        {
            "name": same[0]["name"],
            "lowest": min(one["lowest"] for one in same),
            "highest": max(one["highest"] for one in same),
            **{key: _short(np.mean([one[key] for one in same])) for key in ("median_low", "median_high")},
            **{key: of(one[key] for one in same) for key, of in EXTREMES.items() if all(key in one for one in same)},
        }
        for same in zip(*(data["channels"] for data in members), strict=True)
    ]
    return joined


def unlike_training(channels: Sequence[sitk.Image], plan: Plan, data: Mapping[str, Any]) -> list[str]:
    """In what an image (one SimpleITK image a channel) is unlike those that the model saw, a phrase each.

    data: of ``describe``. With {}, as of older models, or a later form, only a lack of contrast is reported,
    of a CT in the range that the plan names.
    """
    if data.get("schema_version") != SCHEMA_VERSION:
        return [
            phrase
            for channel, normalization in zip(channels, plan.normalization, strict=True)
            for phrase in _flat(channel, normalization)
        ]
    geometry = Geometry.of(sitk.DICOMOrient(channels[0], "LPS"))
    flat = plan.dims == 2 and geometry.size[2] == 1
    phrases = []
    if plan.image_size is None:
        spacing, extent = np.array(geometry.spacing_zyx), np.array(geometry.spacing_zyx) * geometry.size_zyx
        phrases += _outside("voxels", spacing, data["spacing_mm"], SPACING_FACTOR, flat)
        phrases += _outside("a field of view", extent, data["extent_mm"], EXTENT_FACTOR, flat)
    plane = plane_of(channels[0].GetDirection())
    if not flat and plane not in data["planes"]:
        phrases.append(f"{plane} slices (training: {', '.join(data['planes'])})")
    for index, (channel, profile) in enumerate(zip(channels, data["channels"], strict=True)):
        phrases += _intensities(channel, profile, plan.normalization[index].method, len(channels) > 1)
    return phrases


def refuse_malformed(data: Any, channels: int) -> None:
    """Raises ModelError where a model's ``data`` is not what ``describe`` gives for so many channels.

    {} of older models, and forms of later versions, pass: nothing is read of them.
    """
    if data.get("schema_version") != SCHEMA_VERSION:
        return
    try:
        profile = TypeAdapter(_Profile).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(("data", *map(str, first["loc"])))
        raise ModelError(f"{where} = {first['input']!r:.60}: {first['msg']}") from None
    if len(profile.channels) != channels:
        raise ModelError(f"data.channels has {len(profile.channels)} entries for {channels} channels")


def unlike_text(name: str, phrases: Sequence[str]) -> str | None:
    """The phrases as a warning; None where there are none."""
    if not phrases:
        return None
    return f"{name} is unlike the training images: it has {'; '.join(phrases)}. Look at the result with care."


def plane_of(direction: Iterable[float]) -> str:
    """The plane in which a volume was cut into slices: axial, coronal or sagittal, whichever is nearest."""
    letters = Geometry(size=(1, 1, 1), direction=tuple(direction)).orientation()
    return PLANES[letters[2]]


def _outside(
    what: str, values: np.ndarray, training_range: Sequence[Sequence[float]], factor: float, flat: bool
) -> list[str]:
    """``what`` with the values where one leaves the training's range by more than the factor; z of a 2D image is none.

    values: (z, y, x) mm. training_range: smallest, median, largest.
    """
    first = 1 if flat else 0
    low, high = np.array(training_range[0]) / factor, np.array(training_range[2]) * factor
    if not ((values < low) | (values > high))[first:].any():
        return []
    ranges = [
        f"{a:.3g}" if f"{a:.3g}" == f"{b:.3g}" else f"{a:.3g} to {b:.3g}"
        for a, b in zip(training_range[0], training_range[2], strict=True)
    ][first:]
    measured = " x ".join(f"{value:.3g}" for value in values[first:])
    axes = "y, x" if flat else "z, y, x"
    return [f"{what} of {measured} mm (training: {' x '.join(ranges)} mm; {axes})"]


def _intensities(channel: sitk.Image, profile: Mapping[str, Any], method: str, several: bool) -> list[str]:
    low, high = value_range(_sample(channel))
    where = f" in {profile['name']}" if several else ""
    training_range = f"{profile['lowest']:.4g} to {profile['highest']:.4g}"
    phrase = f"intensities from {low:.4g} to {high:.4g}{where} (training: {training_range})"
    if method in FIXED_SCALES and _is_of_another_scale(low, high, profile):
        units = "Hounsfield units, which a CT must have" if method == "ct" else "the units of the training"
        return [f"{phrase}, which are hardly {units}"]
    slack = INTENSITY_SLACK if method in FIXED_SCALES else SCALED_SLACK
    reach = slack * (profile["highest"] - profile["lowest"])
    is_beyond = low < profile["lowest"] - reach or high > profile["highest"] + reach
    is_narrow = high - low < _narrowest(profile) / SCALED_NARROW
    return [phrase] if is_beyond or is_narrow else []


def _is_of_another_scale(low: float, high: float, profile: Mapping[str, Any]) -> bool:
    """Whether an image was scaled (to 0-1, 0-255, deviations) or shifted (to numbers from 0 on) before it came here.

    A part of a body has fewer intensities than the whole, so a narrower range alone says little.
    """
    dark, bright = profile.get("highest_low", profile["median_low"]), profile.get("lowest_high", profile["median_high"])
    half = (profile["highest"] - profile["lowest"]) / 2
    never_negative = low >= 0 > dark + INTENSITY_SLACK * (bright - dark)
    return never_negative or high - low < _narrowest(profile) / NARROW or low > dark + half or high < bright - half


def _narrowest(profile: Mapping[str, Any]) -> float:
    usual = profile["median_high"] - profile["median_low"]
    return float(profile.get("narrowest", usual / NARROW))  # older models kept only what is usual


def _flat(channel: sitk.Image, normalization: Normalization) -> list[str]:
    sample = _sample(channel)
    if sample.min() == sample.max():
        return [f"one intensity, {sample[0]:.4g}, nearly everywhere"]
    if normalization.method != "ct":
        return []
    seen = np.clip(sample, normalization.low, normalization.high)
    if seen.std() >= FLAT * (normalization.high - normalization.low):
        return []
    return [
        f"next to no contrast from {normalization.low:.4g} to {normalization.high:.4g}, where the model looks: "
        "hardly Hounsfield units, which a CT must have"
    ]


def _sample(channel: sitk.Image) -> np.ndarray:
    array = sitk.GetArrayViewFromImage(channel)
    return array.ravel()[:: sampling_step(array.shape, VOLUME_SAMPLES)].astype(np.float32)


def _axis_ranges(values: np.ndarray) -> list[list[float]]:
    """(cases, 3) to the smallest, the median and the largest along each axis."""
    rows = (values.min(axis=0), np.median(values, axis=0), values.max(axis=0))
    return [[_short(value) for value in row] for row in rows]


def _short(value: float) -> float:
    return float(f"{float(value):.6g}")
