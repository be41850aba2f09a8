"""The other side of ``nnunet_apply.py``: nnU-Net's own predictor on a folder of images.

Started with the Python of an environment that has the package nnunetv2. The last line of output is JSON with the
seconds that reading, predicting and writing took; all else that is printed is nnU-Net's.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch


def main() -> None:
    model, mirrored, device, threads, images, output = sys.argv[1:]
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    torch.set_num_threads(int(threads))
    folds = tuple(
        path.parent.name.removeprefix("fold_") for path in sorted(Path(model).glob("fold_*/checkpoint_final.pth"))
    )
    predictor = nnUNetPredictor(use_mirroring=mirrored == "1", device=torch.device(device), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(model, folds)
    started = time.perf_counter()
    predictor.predict_from_files_sequential(images, output)
    print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
