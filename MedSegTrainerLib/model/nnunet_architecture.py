"""How nnU-Net's plans describe a network, old form and new, as one of ours and back: class names are only looked up;
standard library only.

Forms after nnU-Net 2.8.1, ``utilities/plans_handling/plans_handler.py``. A class that is in none of the tables here
is another network than its name says, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from MedSegTrainerLib.config.architectures import NNUNET
from MedSegTrainerLib.errors import ModelError

PLAIN, RESIDUAL = NNUNET
EPSILON, SLOPE = 1e-5, 0.01  # of the norm, and of PyTorch's leaky ReLU: what ``networks/instance_norm.py`` has
PACKAGE = "dynamic_network_architectures.architectures"
NETWORKS = {
    f"{PACKAGE}.unet.PlainConvUNet": PLAIN,
    f"{PACKAGE}.unet.ResidualEncoderUNet": RESIDUAL,
    f"{PACKAGE}.residual_unet.ResidualEncoderUNet": RESIDUAL,  # where it was when plans had the old form
}
OLD_NETWORKS = {"PlainConvUNet": PLAIN, "ResidualEncoderUNet": RESIDUAL}  # UNet_class_name
BLOCKS = {PLAIN: "n_conv_per_stage", RESIDUAL: "n_blocks_per_stage"}
FORMS = ("torch.nn.modules.{module}.{name}", "torch.nn.{name}")


def _classes(module: str, names: Mapping[str, Any]) -> dict[str, Any]:
    return {form.format(module=module, name=name): what for name, what in names.items() for form in FORMS}


CONVOLUTIONS = _classes("conv", {"Conv2d": 2, "Conv3d": 3})
NORMS = {
    **_classes("instancenorm", {"InstanceNorm2d": ("instance", 2), "InstanceNorm3d": ("instance", 3)}),
    **_classes("batchnorm", {"BatchNorm2d": ("batch", 2), "BatchNorm3d": ("batch", 3)}),
}
ACTIVATIONS = _classes("activation", {"LeakyReLU": SLOPE, "ReLU": 0.0})
DROPOUTS = _classes("dropout", {"Dropout2d": 2, "Dropout3d": 3})
FREE = {  # keywords whose values do not change what a network predicts
    "norm_op_kwargs": ("eps", "affine", "momentum"),
    "nonlin_kwargs": ("inplace", "negative_slope"),
    "dropout_op_kwargs": ("p", "inplace"),
}
KNOWN = {
    "n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "n_conv_per_stage_decoder", "conv_bias",
    "norm_op", "dropout_op", "nonlin", "deep_supervision", *FREE, *BLOCKS.values(),
}  # fmt: skip
MOST_STAGES = 32
MOST_BLOCKS = 1000


def parameters_from_plans(
    configuration: Mapping[str, Any], *, in_channels: int, out_channels: int, norm: str | None = None
) -> tuple[str, dict[str, Any]]:
    """Name and parameters of our network for one entry of ``configurations``, its ``inherits_from`` applied.

    norm: what a trainer puts in the place of the plans' norm (``nnUNetTrainerBN``: batch). Raises ModelError with the
    class that is unknown, or everything that is no such network.
    """
    architecture, keywords = (
        _old_form(configuration) if "architecture" not in configuration else _new_form(configuration)
    )
    problems = [
        f"{name} = {_short(value)}: no setting that is known here"
        for name, value in keywords.items()
        if name not in KNOWN and value not in (None, False)
    ]
    found: dict[str, Any] = {}
    for name, read in READERS.items():
        try:
            found[name] = read(keywords, architecture)
        except _OtherError as error:
            problems.append(str(error))
    if problems:
        raise ModelError("; ".join(dict.fromkeys(problems)))
    style = {**found.pop("style"), **({"norm": norm} if norm else {})}
    parameters = {"in_channels": in_channels, "out_channels": out_channels, **found, **style}
    return architecture, {**parameters, "deep_supervision": len(parameters["features"]) > 2}


def plans_from_parameters(architecture: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The entry ``architecture`` of a configuration for one of our networks that is nnU-Net's."""
    dims = parameters["dims"]
    kind = {"instance": f"instancenorm.InstanceNorm{dims}d", "batch": f"batchnorm.BatchNorm{dims}d"}[parameters["norm"]]
    dropout, slope = parameters["dropout"], parameters["slope"]
    keywords = {
        "n_stages": len(parameters["features"]),
        "features_per_stage": list(parameters["features"]),
        "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
        "kernel_sizes": [list(kernel) for kernel in parameters["kernels"]],
        "strides": [list(stride) for stride in parameters["strides"]],
        BLOCKS[architecture]: list(parameters["blocks"]),
        "n_conv_per_stage_decoder": list(reversed(parameters["decoder_blocks"])),
        "conv_bias": parameters["conv_bias"],
        "norm_op": f"torch.nn.modules.{kind}",
        "norm_op_kwargs": {"eps": EPSILON, "affine": True},
        "dropout_op": f"torch.nn.Dropout{dims}d" if dropout else None,
        "dropout_op_kwargs": {"p": dropout} if dropout else None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True, **({} if slope == SLOPE else {"negative_slope": slope})},
    }
    named = {name: full for full, name in reversed(NETWORKS.items())}
    return {
        "network_class_name": named[architecture],
        "arch_kwargs": keywords,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


class _OtherError(Exception):
    """Why a network is none of ours."""


def _new_form(configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    described = configuration["architecture"]
    name = described.get("network_class_name") if isinstance(described, Mapping) else None
    keywords = described.get("arch_kwargs") if isinstance(described, Mapping) else None
    architecture = NETWORKS.get(name) if isinstance(name, str) else None
    if architecture is None:
        raise _unknown_class(name, [*NETWORKS][:2])
    if not isinstance(keywords, Mapping):
        raise ModelError("architecture.arch_kwargs: the plans do not say how large the network is")
    return architecture, dict(keywords)


def _old_form(configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Plans up to nnU-Net 2.4, as nnU-Net 2.8.1 reads them."""
    name = configuration.get("UNet_class_name")
    architecture = OLD_NETWORKS.get(name) if isinstance(name, str) else None
    if architecture is None:
        raise _unknown_class(name, [*OLD_NETWORKS])
    blocks = configuration.get("n_conv_per_stage_encoder")
    base, most = configuration.get("UNet_base_num_features"), configuration.get("unet_max_num_features")
    if not isinstance(blocks, list) or not isinstance(base, int) or not isinstance(most, int):
        raise ModelError(
            "n_conv_per_stage_encoder, UNet_base_num_features, unet_max_num_features: the plans do not say how large "
            "the network is"
        )
    edges = configuration.get("patch_size")
    dims = len(edges) if isinstance(edges, Sequence) and len(edges) in (2, 3) else 0
    return architecture, {
        "n_stages": len(blocks),
        "features_per_stage": [min(base * 2**level, most) for level in range(min(len(blocks), MOST_STAGES))],
        "conv_op": f"torch.nn.Conv{dims}d",
        "kernel_sizes": configuration.get("conv_kernel_sizes"),
        "strides": configuration.get("pool_op_kernel_sizes"),
        BLOCKS[architecture]: blocks,
        "n_conv_per_stage_decoder": configuration.get("n_conv_per_stage_decoder"),
        "conv_bias": True,
        "norm_op": f"torch.nn.InstanceNorm{dims}d",
        "norm_op_kwargs": {"eps": EPSILON, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
    }


def _unknown_class(name: Any, known: Sequence[str]) -> ModelError:
    return ModelError(
        f"its network is {_short(name)}, which is no class of nnU-Net's own; those are {' and '.join(known)}. "
        "Somebody's own network cannot be taken."
    )


def _dims(keywords: Mapping[str, Any], architecture: str) -> int:
    return int(_looked_up(keywords, "conv_op", CONVOLUTIONS))


def _features(keywords: Mapping[str, Any], architecture: str) -> list[int]:
    features = _per_level(keywords, "features_per_stage", _stages(keywords))
    if not _is_counts(features, 10**6):
        raise _OtherError(f"features_per_stage = {_short(features)}: must be whole numbers from 1 on, one a stage")
    return features


def _blocks(keywords: Mapping[str, Any], architecture: str) -> list[int]:
    return _counts(keywords, BLOCKS[architecture], _stages(keywords))


def _decoder_blocks(keywords: Mapping[str, Any], architecture: str) -> list[int]:
    return _counts(keywords, "n_conv_per_stage_decoder", _stages(keywords) - 1)[::-1]  # theirs are coarsest first


def _kernels(keywords: Mapping[str, Any], architecture: str) -> list[list[int]]:
    kernels = _edges(keywords, "kernel_sizes", 31)
    if any(edge % 2 == 0 for kernel in kernels for edge in kernel):
        raise _OtherError(f"kernel_sizes = {_short(kernels)}: must be odd")
    return kernels


def _strides(keywords: Mapping[str, Any], architecture: str) -> list[list[int]]:
    strides = _edges(keywords, "strides", 64)
    if max(strides[0]) > 1:
        raise _OtherError(f"strides = {_short(strides)}: the first stage must keep the resolution")
    return strides


def _style(keywords: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    dims = _looked_up(keywords, "conv_op", CONVOLUTIONS)
    norm, norm_dims = _looked_up(keywords, "norm_op", NORMS)
    slope = _looked_up(keywords, "nonlin", ACTIVATIONS)
    dropout_dims = _looked_up(keywords, "dropout_op", DROPOUTS) if keywords.get("dropout_op") else dims
    if norm_dims != dims or dropout_dims != dims:
        raise _OtherError(f"norm_op, dropout_op: must be of {dims} axes, as conv_op is")
    further = {name: _free(keywords, name) for name in FREE}
    of_norm, of_slope = further["norm_op_kwargs"], further["nonlin_kwargs"]
    if of_norm.get("eps", EPSILON) != EPSILON or of_norm.get("affine", norm == "batch") is not True:
        raise _OtherError(f"norm_op_kwargs = {_short(of_norm)}: must be eps {EPSILON:g} and affine")
    given_slope = of_slope.get("negative_slope", slope) if slope else slope
    share = further["dropout_op_kwargs"].get("p", 0.5) if keywords.get("dropout_op") else 0.0
    for name, value in (("nonlin_kwargs.negative_slope", given_slope), ("dropout_op_kwargs.p", share)):
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise _OtherError(f"{name} = {_short(value)}: must be from 0 to 1")
    if not isinstance(keywords.get("conv_bias", False), bool):
        raise _OtherError(f"conv_bias = {_short(keywords['conv_bias'])}: must be true or false")
    return {
        "conv_bias": keywords.get("conv_bias", False),
        "norm": norm,
        "slope": float(given_slope),
        "dropout": float(share),
    }


READERS: dict[str, Callable[[Mapping[str, Any], str], Any]] = {
    "dims": _dims,
    "features": _features,
    "strides": _strides,
    "kernels": _kernels,
    "blocks": _blocks,
    "decoder_blocks": _decoder_blocks,
    "style": _style,
}


def _looked_up(keywords: Mapping[str, Any], name: str, table: Mapping[str, Any]) -> Any:
    value = keywords.get(name)
    if not isinstance(value, str) or value not in table:
        raise _OtherError(f"{name} = {_short(value)}: must be one of {', '.join(list(table)[::2])}")
    return table[value]


def _free(keywords: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = keywords.get(name) or {}
    if not isinstance(value, Mapping) or not value.keys() <= {*FREE[name]}:
        raise _OtherError(f"{name} = {_short(value)}: only {', '.join(FREE[name])} are known")
    return value


def _stages(keywords: Mapping[str, Any]) -> int:
    stages = keywords.get("n_stages")
    if type(stages) is not int or not 2 <= stages <= MOST_STAGES:
        raise _OtherError(f"n_stages = {_short(stages)}: must be 2 to {MOST_STAGES}")
    return stages


def _per_level(keywords: Mapping[str, Any], name: str, length: int) -> Any:
    """A value for each level; nnU-Net takes one number for all of them too."""
    value = keywords.get(name)
    if type(value) is int:
        value = [value] * length
    if not isinstance(value, (list, tuple)) or len(value) != length:
        raise _OtherError(f"{name} = {_short(value)}: must have {length} entries")
    return list(value)


def _counts(keywords: Mapping[str, Any], name: str, length: int) -> list[int]:
    values: list[int] = _per_level(keywords, name, length)
    if not _is_counts(values, MOST_BLOCKS):
        raise _OtherError(f"{name} = {_short(values)}: must be whole numbers from 1 to {MOST_BLOCKS}")
    return values


def _edges(keywords: Mapping[str, Any], name: str, most: int) -> list[list[int]]:
    dims = _looked_up(keywords, "conv_op", CONVOLUTIONS)
    values = _per_level(keywords, name, _stages(keywords))
    expanded = [[value] * dims if type(value) is int else value for value in values]
    if not all(_is_counts(value, most) and len(value) == dims for value in expanded):
        raise _OtherError(f"{name} = {_short(values)}: must be {dims} whole numbers from 1 to {most} a stage")
    return [list(value) for value in expanded]


def _is_counts(values: Any, most: int) -> bool:
    return isinstance(values, (list, tuple)) and all(type(value) is int and 1 <= value <= most for value in values)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
