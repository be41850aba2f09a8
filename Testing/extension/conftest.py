"""The scripts are no package: their folder goes on the path, as Python does when it starts one of them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
