"""What several files of these tests share lies beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="package")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a job that was trained on it, two evaluations of it, and documents that name them."""
    from good_root import make_root

    root = tmp_path_factory.mktemp("fuzz")
    make_root(root)
    return root
