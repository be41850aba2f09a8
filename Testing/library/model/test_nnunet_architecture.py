"""Networks as nnU-Net's plans describe them: all published plans, both forms, and what is none of its networks."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunet_reference import reference_network

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.nnunet_architecture import parameters_from_plans, plans_from_parameters
from MedSegTrainerLib.model.nnunet_tensors import their_names, to_nnunet
from MedSegTrainerLib.networks.state_shapes import state_shapes

PUBLISHED = Path(__file__).resolve().parents[4] / "shared" / "data" / "nnunet_plans"
FILES = sorted(PUBLISHED.glob("*/*lans.json"))
CUSTOM = "nnunetv2.nets.ResEncUNetWithClass.ResidualEncoderUNetWithClassifier"
TENSORS = {  # of the state_dict of dynamic-network-architectures 0.4.4 by network and stages, for any sizes
    ("PlainConvUNet", 6): 292, ("PlainConvUNet", 7): 344, ("PlainConvUNet", 8): 396,
    ("ResEncUNet", 6): 956, ("ResEncUNet", 7): 1160, ("ResEncUNet", 8): 1364,
}  # fmt: skip
KEYWORDS: dict[str, Any] = {
    "n_stages": 3, "features_per_stage": [32, 64, 128], "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage": [2, 3, 4], "n_conv_per_stage_decoder": [4, 1], "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d", "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
}  # fmt: skip
PLAIN = "dynamic_network_architectures.architectures.unet.PlainConvUNet"


def described(name: Any = PLAIN, **changed: Any) -> dict[str, Any]:
    keywords = {key: value for key, value in {**KEYWORDS, **changed}.items() if value != "left out"}
    return {"architecture": {"network_class_name": name, "arch_kwargs": keywords, "_kw_requires_import": []}}


def read(configuration: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    return parameters_from_plans(configuration, in_channels=1, out_channels=3, **more)


def refusal(configuration: dict[str, Any]) -> str:
    with pytest.raises(ModelError) as refused:
        read(configuration)
    return str(refused.value)


def configurations(file: Path) -> dict[str, dict[str, Any]]:
    written = json.loads(file.read_text(encoding="utf-8"))["configurations"]

    def whole(name: str) -> dict[str, Any]:
        entry = written[name]
        return {**(whole(entry["inherits_from"]) if "inherits_from" in entry else {}), **entry}

    return {name: whole(name) for name in written}


@pytest.mark.skipif(not FILES, reason="the published plans are not here")
class TestPublished:
    def test_all_are_looked_at(self) -> None:
        assert len(FILES) == 12 and sum(len(configurations(file)) for file in FILES) == 36

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
    def test_has_the_tensors_of_their_network_or_is_refused_by_its_class(self, file: Path) -> None:
        for configuration in configurations(file).values():
            if file.parent.name == "pancreas_resencM":
                assert f"its network is '{CUSTOM}', which is no class of nnU-Net's own" in refusal(configuration)
                continue
            architecture, parameters = read(configuration)
            shapes = state_shapes(architecture, parameters)
            weights = {name: torch.empty(shape, dtype=kind, device="meta") for name, (shape, kind) in shapes.items()}
            with torch.device("meta"):
                expected = reference_network(architecture, parameters).state_dict()
            stages = len(parameters["features"])
            assert len(expected) == TENSORS[architecture, stages]
            names = their_names(architecture, parameters, shapes)
            theirs = {names[ours]: weights[ours].shape for ours in weights}
            assert theirs.items() <= {name: value.shape for name, value in expected.items()}.items()
            left = [name for name in expected.keys() - theirs.keys() if "all_modules" not in name]
            assert {name for name in left if not name.startswith("decoder.encoder.")} == {
                "decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias",
            }  # fmt: skip

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
    def test_is_written_as_it_was_read(self, file: Path) -> None:
        for configuration in configurations(file).values():
            if "architecture" not in configuration or file.parent.name == "pancreas_resencM":
                continue
            assert plans_from_parameters(*read(configuration)) == configuration["architecture"]


class TestForms:
    def test_the_new_one(self) -> None:
        assert read(described()) == ("PlainConvUNet", {
            "dims": 3, "in_channels": 1, "out_channels": 3, "features": [32, 64, 128],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]], "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "blocks": [2, 3, 4], "decoder_blocks": [1, 4], "conv_bias": True, "norm": "instance", "slope": 0.01,
            "dropout": 0.0, "deep_supervision": True,
        })  # fmt: skip

    def test_the_old_one(self) -> None:
        old = {
            "UNet_class_name": "ResidualEncoderUNet", "UNet_base_num_features": 30, "unet_max_num_features": 100,
            "n_conv_per_stage_encoder": [1, 3, 4], "n_conv_per_stage_decoder": [2, 1], "num_pool_per_axis": [2, 1],
            "pool_op_kernel_sizes": [[1, 1], [2, 2], [2, 1]], "conv_kernel_sizes": [[3, 3], [3, 3], [3, 3]],
            "patch_size": [64, 32],
        }  # fmt: skip
        architecture, parameters = read(old)
        assert (architecture, parameters["dims"], parameters["norm"]) == ("ResEncUNet", 2, "instance")
        assert (parameters["features"], parameters["blocks"]) == ([30, 60, 100], [1, 3, 4])
        assert (parameters["decoder_blocks"], parameters["conv_bias"]) == ([1, 2], True)

    def test_one_number_for_all_stages(self) -> None:
        _, parameters = read(
            described(kernel_sizes=3, n_conv_per_stage=2, features_per_stage=16, strides=[1, 2, [2, 1, 2]])
        )
        assert (parameters["kernels"], parameters["blocks"]) == ([[3, 3, 3]] * 3, [2, 2, 2])
        assert (parameters["features"], parameters["strides"]) == ([16] * 3, [[1] * 3, [2] * 3, [2, 1, 2]])

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [({"nonlin": "torch.nn.modules.activation.ReLU"}, {"slope": 0.0}),
         ({"nonlin_kwargs": {"negative_slope": 0.2}}, {"slope": 0.2}),
         ({"dropout_op": "torch.nn.Dropout3d", "dropout_op_kwargs": {"p": 0.1}}, {"dropout": 0.1}),
         ({"norm_op": "torch.nn.modules.batchnorm.BatchNorm3d"}, {"norm": "batch"}),
         ({"conv_bias": "left out"}, {"conv_bias": False})],
    )  # fmt: skip
    def test_styles_come_back(self, changed: dict[str, Any], expected: dict[str, Any]) -> None:
        architecture, parameters = read(described(**changed))
        assert expected.items() <= parameters.items()
        assert read({"architecture": plans_from_parameters(architecture, parameters)}) == (architecture, parameters)

    def test_a_trainer_has_another_norm(self) -> None:
        assert read(described(), norm="batch")[1]["norm"] == "batch"

    def test_a_network_of_two_stages_has_one_head(self) -> None:
        few = {
            name: KEYWORDS[name][:2] for name in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage")
        }
        _, parameters = read(described(n_stages=2, n_conv_per_stage_decoder=[2], **few))
        assert parameters["deep_supervision"] is False


class TestRefused:
    @pytest.mark.parametrize(
        "name",
        ["os.system", "my.PlainConvUNet", "dynamic_network_architectures.architectures.primus.Primus", 7, None, {}],
    )
    def test_another_class_by_its_name(self, name: Any) -> None:
        assert f"its network is {name!r}, which is no class of nnU-Net's own" in refusal(described(name))
        assert f"its network is {name!r}, which is no class" in refusal({"UNet_class_name": name})

    @pytest.mark.parametrize(
        ("changed", "words"),
        [({"conv_op": "subprocess.Popen"}, "conv_op = 'subprocess.Popen': must be one of torch.nn.modules.conv.Conv2d"),
         ({"norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d"}, "norm_op, dropout_op: must be of 3 axes"),
         ({"norm_op": None}, "norm_op = None: must be one of"),
         ({"norm_op_kwargs": {"eps": 1e-3, "affine": True}}, "must be eps 1e-05 and affine"),
         ({"norm_op_kwargs": {}}, "must be eps 1e-05 and affine"),
         ({"norm_op_kwargs": {"eps": 1e-5, "affine": True, "track_running_stats": True}}, "only eps, affine, momentum"),
         ({"nonlin": "torch.nn.GELU"}, "nonlin = 'torch.nn.GELU'"),
         ({"nonlin_kwargs": {"negative_slope": "x"}}, "nonlin_kwargs.negative_slope = 'x'"),
         ({"nonlin_first": True}, "nonlin_first = True: no setting that is known"),
         ({"stem_channels": 7}, "stem_channels = 7: no setting that is known"),
         ({"n_stages": 10**9, "features_per_stage": 32}, "n_stages = 1000000000: must be 2 to 32"),
         ({"n_stages": 1}, "n_stages = 1: must be 2 to 32"),
         ({"features_per_stage": [32, 0, 128]}, "features_per_stage = [32, 0, 128]: must be whole numbers"),
         ({"features_per_stage": [32, 64]}, "features_per_stage = [32, 64]: must have 3 entries"),
         ({"n_conv_per_stage": [2, True, 2]}, "n_conv_per_stage = [2, True, 2]: must be whole numbers"),
         ({"n_conv_per_stage_decoder": [2]}, "n_conv_per_stage_decoder = [2]: must have 2 entries"),
         ({"kernel_sizes": [[2, 3, 3]] * 3}, "must be odd"),
         ({"kernel_sizes": [[3, 3]] * 3}, "must be 3 whole numbers from 1 to 31 a stage"),
         ({"strides": [[2, 2, 2]] * 3}, "the first stage must keep the resolution"),
         ({"conv_bias": "yes"}, "conv_bias = 'yes': must be true or false")],
    )  # fmt: skip
    def test_what_is_no_such_network(self, changed: dict[str, Any], words: str) -> None:
        assert words in refusal(described(**changed))

    def test_everything_at_once_and_once(self) -> None:
        text = refusal(described(n_stages="three", nonlin="torch.nn.GELU"))
        assert text.count("n_stages = 'three'") == 1 and "torch.nn.GELU" in text

    @pytest.mark.parametrize("entry", [None, [], "PlainConvUNet", {"network_class_name": PLAIN}])
    def test_plans_without_a_description(self, entry: Any) -> None:
        assert "no class of nnU-Net's own" in refusal({"architecture": entry}) or "how large" in refusal(
            {"architecture": entry}
        )
        assert "how large the network is" in refusal({"UNet_class_name": "PlainConvUNet"})

    def test_reading_changes_nothing(self) -> None:
        given = described()
        before = deepcopy(given)
        read(given)
        assert given == before


def test_weights_go_with_what_is_written() -> None:
    """The names that a description leads to are those that the weights are written with."""
    architecture, parameters = read(described())
    again = read({"architecture": plans_from_parameters(architecture, parameters)})
    shapes = state_shapes(*again)
    weights = {name: torch.zeros(shape, dtype=kind) for name, (shape, kind) in shapes.items()}
    reference_network(architecture, parameters).load_state_dict(to_nnunet(weights, architecture, parameters))
