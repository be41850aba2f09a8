"""Values that nobody means, and documents of JSON with such values in any place.

The same inputs come at every run, so that a failure can be made again; one that was found stays as an ``example``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SLOW_CHECKS = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large)
DEEP = 5000


def runs(count: int) -> settings:
    """So many inputs, the same ones each time."""
    return settings(
        derandomize=True, deadline=None, database=None, max_examples=count, suppress_health_check=SLOW_CHECKS
    )


NUMBERS = (
    0, -1, 1, 2, 3, 2**31, -(2**63), 2**64, 10**21, 10**39, -0.0, 0.5, 1e-320, 1e-9, 1e9, 1e308, float("inf"),
    float("-inf"), float("nan"),
)  # fmt: skip
TEXTS = (
    "", " ", "auto", "none", "null", "true", "no", "1", "-1", "0.5", "1e999", "nan", "9" * 45, "9" * 5000, "[", "[1,",
    "[]", "[1, 2, 3]", '["x"]', "[" * DEEP, "{", '{"a": 1}', "\0", "a\0b", "\x1b[2J\x07", "\r\n", "=1+1", "$1", "@a",
    "%b", "../..", "/", "C:\\a", "\\\\host\\a", "a" * 3000, "ä\u202e\U0001f600", "cuda:99999999999999999999", "cpu",
    "1h", "1e9h",
)  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.sampled_from(NUMBERS), st.integers(), st.floats(), st.sampled_from(TEXTS),
    st.text(max_size=12),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document, the document itself first."""
    yield path
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield from places(value, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """The document with up to three values replaced, removed, doubled, or put under another key."""
    result = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(result))))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                return draw(values)
            continue
        parent = result
        for key in path[:-1]:
            parent = parent[key]
        _change(draw, parent, path[-1])
    return result


def _change(draw: st.DrawFn, parent: Any, key: Any) -> None:
    kind = draw(st.sampled_from(("replace", "replace", "replace", "remove", "double", "rename")))
    if kind == "replace":
        parent[key] = draw(values)
    elif kind == "remove":
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        name = draw(st.sampled_from(("type", "a", "", "\x1b[31m", "__class__"))) if kind == "rename" else f"{key}_"
        parent[name] = parent.pop(key) if kind == "rename" else copy.deepcopy(parent[key])


@st.composite
def texts(draw: st.DrawFn, document: Any) -> bytes:
    """A file with a mutated document, sometimes damaged as a file."""
    text = json.dumps(draw(mutated(document)), ensure_ascii=draw(st.booleans()))
    data = text.encode("utf-8", "surrogatepass")
    damage = draw(st.sampled_from(("none",) * 6 + ("cut", "mark", "wide", "noise", "deep", "twice", "long number")))
    where = draw(st.integers(0, len(data)))
    return {
        "none": data,
        "cut": data[:where],
        "mark": b"\xef\xbb\xbf" + data,
        "wide": text.encode("utf-16", "surrogatepass"),
        "noise": data[:where] + draw(st.binary(min_size=1, max_size=8)) + data[where:],
        "deep": b'{"a":' * DEEP + data + b"}" * DEEP,
        "twice": data + data,
        "long number": b'{"seed": ' + b"9" * DEEP + b", " + data[1:],
    }[damage]
