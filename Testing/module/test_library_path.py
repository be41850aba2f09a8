import importlib.util
import subprocess
import sys
from pathlib import Path

import MedSegTrainerUI.library_path

MODULE = Path(MedSegTrainerUI.library_path.__file__).resolve().parents[1]


def test_it_is_found_from_a_checkout(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(MODULE)!r})\n"
        "import MedSegTrainerUI.library_path, MedSegTrainerLib.job as job\n"
        "print(job.__file__)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent in (MODULE.parent / "MedSegTrainerLib", MODULE / "MedSegTrainerLib")


def test_an_installed_library_stays_the_one_that_is_used():
    before = list(sys.path)
    assert importlib.util.find_spec("MedSegTrainerLib") is not None
    MedSegTrainerUI.library_path.add_library()
    assert sys.path == before
