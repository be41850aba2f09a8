"""In the place of ``nnunet_predict.py``: every voxel is background, and it took two seconds; or it ends with words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import SimpleITK as sitk

model, mirrored, device, threads, images, output = sys.argv[1:]
if int(threads) < 1 or mirrored not in "01" or device != "cpu":
    raise SystemExit("called wrongly")
if not Path(model).exists():
    raise SystemExit(f"no model in {model}")
for path in Path(images).glob("*_0000.nii.gz"):
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.Cast(image * 0, sitk.sitkUInt8), str(Path(output) / path.name.replace("_0000", "")))
print("as nnU-Net prints something")
print(json.dumps({"seconds": 2.0}))
