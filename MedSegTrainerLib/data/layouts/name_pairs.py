"""Which image and which label map belong together where their names are not equal, such as image_01 and mask_01."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

IMAGE_START, IMAGE_END = r"^(image|img|volume)([_-]|(?=\d))", r"[_-](image|img)$"
LABEL_START = r"^(mask|label|labels|seg|segmentation)([_-]|(?=\d))"
LABEL_END = r"[_-](mask|label|labels|seg|segmentation|gt)$"
IMAGE_WORD = re.compile(f"{IMAGE_START}|{IMAGE_END}", re.IGNORECASE)
LABEL_WORD = re.compile(f"{LABEL_START}|{LABEL_END}", re.IGNORECASE)

File = TypeVar("File")
Other = TypeVar("Other")


def is_label_name(name: str) -> bool:
    """Whether a file is named as a label map; of two words that say what it is, the last one counts (image_1_seg)."""
    if IMAGE_WORD.search(name):
        return re.search(LABEL_END, name, re.IGNORECASE) is not None
    return LABEL_WORD.search(name) is not None


def pair_by_name(images: Mapping[str, File], labels: Mapping[str, Other]) -> tuple[dict[str, File], dict[str, Other]]:
    """Both under what is left of their names without the words for image and label map.

    Images are also found by what they begin with: case_1_T1w, where no other begins so, belongs to case_1_mask. Where
    names would not stay unique, or none fit together, both stay as they are.
    """
    label_of = _without(labels, LABEL_WORD)
    for image_of in (_without(images, IMAGE_WORD), _by_start(images, label_of.keys())):
        if image_of.keys() & label_of.keys():
            return image_of, label_of
    return dict(images), dict(labels)


def _without(files: Mapping[str, File], word: re.Pattern[str]) -> dict[str, File]:
    short = {word.sub("", name): file for name, file in files.items()}
    return short if len(short) == len(files) else dict(files)


def _by_start(images: Mapping[str, File], keys: Collection[str]) -> dict[str, File]:
    """Images under the longest key that they begin with; as they are where two would have one."""
    short: dict[str, File] = {}
    for name, file in images.items():
        fitting = [key for key in keys if name == key or name.startswith((f"{key}_", f"{key}-"))]
        short[max(fitting, key=len, default=name)] = file
    return short if len(short) == len(images) else dict(images)
