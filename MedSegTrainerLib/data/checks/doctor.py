"""The data doctor: what is wrong with cases that can be read, one check for each thing; ``scan.py`` reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from MedSegTrainerLib.classes import class_names
from MedSegTrainerLib.data.checks.case_scan import CaseScan, Examined
from MedSegTrainerLib.data.checks.drawn_classes import drawn_classes
from MedSegTrainerLib.data.checks.label_channels import label_channels
from MedSegTrainerLib.data.checks.label_values import NOBODY, VALUE_CHECKS, VOID
from MedSegTrainerLib.data.checks.laterality import left_right_pair, opposite_sides, why_not_mirror
from MedSegTrainerLib.data.checks.outliers import FEW_CASES, is_few, odd_grids, odd_intensities, strays
from MedSegTrainerLib.data.checks.partly_labelled import partly_labelled
from MedSegTrainerLib.data.checks.segment_owners import named_by_case
from MedSegTrainerLib.errors import some
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.photos import is_lossy
from MedSegTrainerLib.imaging.read import PHOTO_SUFFIXES, image_suffix

RIGHT_ANGLE_TOLERANCE = 1e-3  # of direction cosines; files round them to 4 digits or more
MOST_CLASSES = 100
FEWEST_WITH_A_CLASS = 2, 3  # one to train and one to validate; of ten cases or more also one to test
RARE_SHARE = 1e-4
THICK = 3.0  # nnU-Net's rule: slices so many times thicker than a pixel is wide are treated as such
TINY_VOXELS, TINY_SHARE = 10, 0.05
DARK_MORE, PADDED = 0.25, 0.05
LEVEL_MORE = 1.0  # standard deviations of the volume


Check = Callable[[Examined], Iterator[Finding]]


def diagnose(examined: Examined) -> list[Finding]:
    """Everything that the checks find."""
    return [finding for check in CHECKS.values() for finding in check(examined)]


def _channels(examined: Examined) -> Iterator[Finding]:
    counts = {len(scan.low): scan.name for scan in reversed(examined.scans)}
    if len(counts) > 1:
        listed = ", ".join(f"{count} in {name}" for count, name in sorted(counts.items()))
        yield Finding(
            severity="error",
            kind="different numbers of channels",
            message=f"The cases have different numbers of channels: {listed}.",
            remedy="Give all cases the same channels.",
        )


def _unlabelled(examined: Examined) -> Iterator[Finding]:
    empty = [scan.name for scan in examined.scans if not _labelled(scan)]
    if empty and len(empty) == len(examined.scans):
        ignored = "" if examined.ignore_label is None else f" or data.ignore_label = {examined.ignore_label}"
        yield Finding(
            severity="error",
            kind="nothing is labelled",
            message=f"No label map has a labelled voxel: all are 0{ignored}.",
            remedy="Check that the right label files are in place.",
        )
        return
    for name in sorted(set(empty) - {scan.name for scan in examined.scans if scan.known and not scan.known.slices}):
        yield Finding(
            case=name, severity="warning", kind="empty label map", message="its label map is empty.",
            remedy="Right where the image has no structure; else label it, or remove the case.",
        )  # fmt: skip


def unknown_labels(examined: Examined) -> Iterator[Finding]:
    """Cases with label values that a data set which names its classes does not name."""
    names = class_names(examined.values(), examined.names)
    if not names.keys() - {examined.ignore_label}:
        return
    for scan in examined.scans:
        unknown = sorted(value for value in scan.voxels if value != 0 and value not in names)
        void = [
            f"{value} often stands for {NOBODY}: then --set ignore_label={value}." for value in unknown if value in VOID
        ]
        if unknown:
            yield Finding(
                case=scan.name, severity="error", kind="label values without a name",
                message=f"Label values {unknown} stand in its label map, and dataset.json (or cases.json) has no "
                "names for them.",
                remedy="Add them to the names, or correct the label map; exports that number segments by their order "
                f"give one structure several values. {' '.join(void)}".strip(),
            )  # fmt: skip


def _crowded(examined: Examined) -> Iterator[Finding]:
    for scan in examined.scans:
        if len(scan.voxels) > MOST_CLASSES:
            yield Finding(
                case=scan.name, severity="warning", kind="very many label values",
                message=f"its label map has {len(scan.voxels)} different values.",
                remedy="Is it an image, or one number for each single object? Give each kind of structure one number.",
            )  # fmt: skip


def _full(examined: Examined) -> Iterator[Finding]:
    for scan in examined.scans:
        if examined.ignore_label is None and not scan.voxels.get(0):
            yield Finding(
                case=scan.name, severity="warning", kind="label map without background",
                message="no voxel of its label map is 0, which is background.",
                remedy="Give the background the value 0; perhaps the mask is inverted.",
            )  # fmt: skip


def _lossy(examined: Examined) -> Iterator[Finding]:
    for scan in examined.scans:
        path = examined.labels.get(scan.name)
        if path is not None and image_suffix(path) in PHOTO_SUFFIXES and is_lossy(path):
            yield Finding(
                case=scan.name, severity="warning", kind="label map as JPEG",
                message=f"{path.name} is a JPEG file, which does not keep values exactly: what is near 0 was taken "
                "as 0, what is near 255 as 255.",
                remedy="Better save it as PNG.",
            )  # fmt: skip


def _tilted(examined: Examined) -> Iterator[Finding]:
    for scan in examined.scans:
        if scan.stats is None:
            continue
        axes = np.array(scan.stats.direction).reshape(3, 3)
        cosines = axes.T @ axes
        off = np.abs(cosines - np.eye(3))
        if off.max() > RIGHT_ANGLE_TOLERANCE:
            first, second = sorted(np.unravel_index(int(np.argmax(off)), off.shape))
            angle = np.degrees(np.arccos(np.clip(cosines[first, second], -1, 1)))
            yield Finding(
                case=scan.name, severity="warning", kind="axes that are not at right angles",
                message=f"axes {'xyz'[first]} and {'xyz'[second]} of its grid meet at {angle:.2f} degrees, "
                "so that distances and volumes are wrong.",
                remedy="Resample image and label to a grid with right angles, in the program they came from.",
            )  # fmt: skip


def _constant(examined: Examined) -> Iterator[Finding]:
    for scan in examined.scans:
        flat = [index for index, pair in enumerate(zip(scan.low, scan.high, strict=True)) if pair[0] == pair[1]]
        if flat:
            every = len(flat) == len(scan.low)
            which = "its image" if every else f"channel {', '.join(map(str, flat))} of its image"
            yield Finding(
                case=scan.name, severity="error" if every else "warning", kind="constant image",
                message=f"{which} is {scan.low[flat[0]]:g} everywhere.",
                remedy="Export the image again, or remove the case.",
            )  # fmt: skip


def _hot(examined: Examined) -> Iterator[Finding]:
    for scan in examined.scans:
        for channel, text in (scan.stats.hot if scan.stats else {}).items():
            yield Finding(
                case=scan.name, severity="warning", kind="voxels far beyond all others",
                message=f"{f'channel {channel} of ' if len(scan.low) > 1 else ''}its image has {text}.",
                remedy="They are taken as the nearest of the others. Repair the image where they are a defect.",
            )  # fmt: skip


def _duplicates(examined: Examined) -> Iterator[Finding]:
    """The same image twice; and, of different images, the same label map, which then fits at most one."""
    images: dict[str, str] = {}
    labels: dict[str, str] = {}
    for scan in examined.scans:
        if scan.stats is None or scan.low == scan.high:
            continue
        other = images.setdefault(scan.stats.image_digest, scan.name)
        same_label = labels.setdefault(scan.stats.label_digest, scan.name) if scan.stats.label_digest else scan.name
        if other != scan.name:
            labelled = "the same" if same_label == other else "another"
            yield Finding(
                case=scan.name, severity="warning", kind="the same image twice",
                message=f"its image is that of {other}, with {labelled} label map.",
                remedy="Remove one of them: a copy in training makes the scores of the other too good.",
            )  # fmt: skip
        elif same_label != scan.name:
            yield Finding(
                case=scan.name, severity="warning", kind="the same label map twice",
                message=f"its label map is that of {same_label}, and the images differ.",
                remedy="Give it the label map that was drawn on its own image.",
            )  # fmt: skip


def _few(examined: Examined) -> Iterator[Finding]:
    """Classes that too few cases have to divide them."""
    names = class_names(examined.values(), examined.names)
    for value in sorted({*examined.values(), *names} - {0, examined.ignore_label}):
        known = examined.knowing(value)
        having = [scan.name for scan in known if scan.voxels.get(value)]
        needed = min(len(known), FEWEST_WITH_A_CLASS[len(known) >= 10])
        if names and value not in names:
            continue
        if not having and known:
            yield Finding(
                severity="warning",
                kind="class without voxels",
                message=f"No case has any voxel of '{examined.name_of(value)}': the model cannot learn it.",
                remedy="Label it in some cases, or take it out of the names.",
            )
        elif len(having) < needed:
            yield Finding(
                case=having[0] if len(having) == 1 else "", severity="warning", kind="class in too few cases",
                message=f"only {len(having)} of {len(known)} cases ({some(having)}) have "
                f"'{examined.name_of(value)}' (value {value}): it cannot be both learned and judged.",
                remedy="Label it in more cases, or give it the value of the class that it belongs to.",
            )  # fmt: skip


def _rare(examined: Examined) -> Iterator[Finding]:
    for value in examined.values():
        known = examined.knowing(value)
        total = sum(scan.known_voxels for scan in known)
        count = sum(scan.voxels.get(value, 0) for scan in known)
        if count < RARE_SHARE * total and value != examined.ignore_label:
            yield Finding(
                severity="note",
                kind="rare class",
                message=f"'{examined.name_of(value)}' is {count / total:.2g} of all voxels.",
                remedy="Training looks for it; --set foreground_oversampling=0.67 shows more of it.",
            )


def _tiny(examined: Examined) -> Iterator[Finding]:
    for value in examined.values():
        known = [scan for scan in examined.knowing(value) if scan.known is None]  # of slices a few voxels are usual
        counts = np.array([scan.voxels.get(value, 0) for scan in known])
        usual = float(np.median(counts[counts > 0])) if counts.any() else 0.0
        for scan, count in zip(known, counts, strict=True):
            if 0 < count < TINY_VOXELS and count < TINY_SHARE * usual:
                yield Finding(
                    case=scan.name, severity="warning", kind="class of a few voxels",
                    message=f"only {count} voxel{'s are' if count > 1 else ' is'} '{examined.name_of(value)}'; "
                    f"{usual:g} are usual.",
                    remedy="Erase them where a brush slipped, or complete the structure.",
                )  # fmt: skip


def _specks(examined: Examined) -> Iterator[Finding]:
    for scan in examined.scans:
        for value, (parts, voxels) in (scan.stats.specks if scan.stats else {}).items():
            yield Finding(
                case=scan.name, severity="note", kind="specks",
                message=f"'{examined.name_of(value)}' has {parts} tiny part{'s' if parts > 1 else ''} away from the "
                f"rest, {voxels} voxel{'s' if voxels > 1 else ''} together.",
                remedy="Erase them where a brush slipped (3D Slicer: Segment Editor, Islands, Remove small islands).",
            )  # fmt: skip


def _sides(examined: Examined) -> Iterator[Finding]:
    """Where names or places tell left from right: that mirroring is off, and cases in which they are exchanged."""
    volumes = [scan for scan in examined.scans if scan.geometry.size[2] > 1 and scan.stats]
    names = [examined.name_of(value) for value in examined.values()]
    reason, pair = why_not_mirror(names), left_right_pair(names)
    if reason is None:
        names_by_value = {value: examined.name_of(value) for value in examined.values()}
        reason = opposite_sides(volumes, names_by_value).get(2)
    if reason and volumes:
        yield Finding(
            severity="note", kind="left and right", message=f"Training does not mirror left to right: {reason}.",
            remedy="Nothing to do, unless the names or the places are wrong.",
        )  # fmt: skip
    if pair is None:
        return
    left, right = (next(v for v in examined.values() if examined.name_of(v) == name) for name in pair)
    for scan in volumes:
        centers = scan.stats.centers if scan.stats else {}
        if left in centers and right in centers and centers[left][2] < centers[right][2]:  # x grows to the left
            yield Finding(
                case=scan.name, severity="warning", kind="left and right exchanged",
                message=f"'{pair[0]}' lies further to the patient's right than '{pair[1]}'.",
                remedy="Exchange the two values in its label map, or export the image again if it is mirrored.",
            )  # fmt: skip


def _thick(examined: Examined) -> Iterator[Finding]:
    volumes = [sorted(scan.geometry.spacing) for scan in examined.scans if scan.geometry.size[2] > 1]
    ratio = float(np.median([spacing[2] / spacing[0] for spacing in volumes])) if volumes else 1.0
    if ratio >= THICK:
        yield Finding(
            severity="note",
            kind="thick slices",
            message=f"Voxels are {ratio:.1f} times longer along one axis than along another.",
            remedy="Nothing to do: the planned network reduces the fine axes first.",
        )


def _odd_grids(examined: Examined) -> Iterator[Finding]:
    for case, message, serious in odd_grids(examined.scans):
        yield Finding(
            case=case, severity="warning" if serious else "note", kind="spacing or size unlike the others",
            message=message, remedy="Check the file's spacing; where it is right, nothing is to do.",
        )  # fmt: skip


def _odd_intensities(examined: Examined) -> Iterator[Finding]:
    odd = odd_intensities(examined.scans)
    if not is_few(len(odd), len(examined.scans)):
        yield Finding(
            severity="note",
            kind="several scales of intensity",
            message=f"Intensities of {len(odd)} of {len(examined.scans)} cases have another range than those of the "
            f"others, such as {next(iter(odd))}: {next(iter(odd.values()))}",
            remedy="Nothing to do for MR, whose scale is arbitrary: each volume is normalised by itself. Of CT, export "
            "all in Hounsfield units.",
        )
        return
    for case, message in odd.items():
        yield Finding(
            case=case,
            severity="warning",
            kind="intensities unlike the others",
            message=message,
            remedy="Is it another modality, or in other units (CT is in Hounsfield units)? Export it again like the "
            "others, or remove the case.",
        )


def _misplaced(examined: Examined) -> Iterator[Finding]:
    """Labels where the image shows nothing; else classes over tissue unlike that of the other cases."""
    odd = odd_intensities(examined.scans)
    odd = odd if is_few(len(odd), len(examined.scans)) else {}
    scans = [scan for scan in examined.scans if _labelled(scan) and scan.name not in odd and scan.low != scan.high]
    dark = strays([scan.stats.dark if scan.stats else 0.0 for scan in scans], DARK_MORE)
    remedy = "Look at its picture: is the label map moved, mirrored, or of another image? Export it again."
    usual = float(np.median([scan.stats.padded if scan.stats else 0.0 for scan in scans])) if scans else 0.0
    for scan, deviation in zip(scans, dark, strict=True):
        if scan.stats is None:
            continue
        padded = scan.stats.padded > PADDED + 2 * usual * (len(scans) >= FEW_CASES)
        if padded or deviation > 0:
            share = max(scan.stats.dark, scan.stats.padded)
            yield Finding(
                case=scan.name, severity="warning", kind="labels where the image shows nothing",
                message=f"{share:.0%} of the labelled voxels lie on the background of the image.", remedy=remedy,
            )  # fmt: skip
        else:
            yield from _unlike_tissue(examined, scans, scan, remedy)


def _unlike_tissue(examined: Examined, scans: Sequence[CaseScan], scan: CaseScan, remedy: str) -> Iterator[Finding]:
    for value, levels in (scan.stats.levels if scan.stats else {}).items():
        others = [other for other in scans if other.stats and value in other.stats.levels]
        table = np.array(
            [other.stats.levels[value] for other in others if other.stats and len(other.low) == len(levels)]
        )
        position = [other.name for other in others].index(scan.name) if len(table) == len(others) else None
        if position is None:
            continue
        off = [float(strays(table[:, channel], LEVEL_MORE)[position]) for channel in range(len(levels))]
        worst = int(np.argmax(np.abs(off)))
        if off[worst]:
            yield Finding(
                case=scan.name, severity="note", kind="labels over other tissue",
                message=f"the image at '{examined.name_of(value)}' is {'brighter' if off[worst] > 0 else 'darker'} "
                f"than in the other cases, by {abs(off[worst]):.1f} standard deviations of the volume.", remedy=remedy,
            )  # fmt: skip
            return


def _labelled(scan: CaseScan) -> bool:
    return any(value != 0 and count for value, count in scan.voxels.items())


CHECKS: dict[str, Check] = {
    "channels": _channels,
    "unlabelled": _unlabelled,
    "unknown labels": unknown_labels,
    **VALUE_CHECKS,
    "label channels": label_channels,
    "many values": _crowded,
    "no background": _full,
    "JPEG labels": _lossy,
    "right angles": _tilted,
    "constant image": _constant,
    "hot voxels": _hot,
    "duplicates": _duplicates,
    "grids": _odd_grids,
    "intensities": _odd_intensities,
    "place of labels": _misplaced,
    "owners of segments": named_by_case,
    "classes not drawn": drawn_classes,
    "labelled in part": partly_labelled,
    "few cases": _few,
    "rare classes": _rare,
    "few voxels": _tiny,
    "specks": _specks,
    "sides": _sides,
    "thick slices": _thick,
}
