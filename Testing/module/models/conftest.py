"""A model folder as nnU-Net leaves it."""

import json

import pytest


@pytest.fixture
def make_nnunet(tmp_path):
    """A model folder as nnU-Net leaves it, with a checkpoint that nobody opens; ``changes`` are of its plans.json."""

    def make(**changes):
        folder = tmp_path / "Dataset004_Organs" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
        (folder / "fold_0").mkdir(parents=True)
        (folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"none")
        resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
        configuration = {
            "patch_size": [8, 16, 16], "spacing": [2.5, 1.1, 0.8], "batch_size": 2,
            "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False],
            **{f"resampling_fn_{what}": "resample_data_or_seg_to_shape" for what in ("data", "probabilities")},
            **{f"resampling_fn_{what}_kwargs": resampling for what in ("data", "probabilities")},
            "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 4, "unet_max_num_features": 8,
            "n_conv_per_stage_encoder": [1, 1], "n_conv_per_stage_decoder": [1],
            "conv_kernel_sizes": [[3, 3, 3], [3, 3, 3]], "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2]],
        }  # fmt: skip
        plans = {"configurations": {"3d_fullres": configuration}, "transpose_forward": [1, 0, 2], **changes}
        labels = {"background": 0, "liver": 1, "cyst": 2}
        dataset = {"channel_names": {"0": "MR"}, "labels": labels, "numTraining": 7, "file_ending": ".nii.gz"}
        (folder / "plans.json").write_text(json.dumps(plans))
        (folder / "dataset.json").write_text(json.dumps(dataset))
        return folder

    return make
