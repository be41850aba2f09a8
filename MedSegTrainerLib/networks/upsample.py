"""A transposed convolution whose windows do not overlap, and its result beside the skip connection.

Where kernel and stride are the same, every coarse voxel makes a block of fine voxels of its own: the transposed
convolution is a matrix product whose rows are spread over the blocks. On CPUs the gradient of PyTorch's transposed
convolution by its weights takes many times as long as this product; and the rows can be written where the
concatenation wants them.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from MedSegTrainerLib.networks.layers import is_rows


def upsample_and_join(up: nn.Module, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    """``torch.cat([up(x), skip], dim=1)`` for a transposed convolution ``up`` with kernel = stride.

    x is (B, C, *spatial), skip (B, D, *finer), where finer is spatial times the stride.
    """
    if not (is_rows(x) and is_rows(skip)):
        return torch.cat([up(x), skip], dim=1)
    weight, bias = up.get_parameter("weight"), up.get_parameter("bias")
    block, outputs = weight.shape[2:], weight.shape[1]
    dims = len(block)
    matrix = weight.movedim((0, 1), (-1, -2)).flatten(0, dims)  # (block * outputs, C)
    rows = functional.linear(x.movedim(1, -1), matrix, bias.repeat(block.numel()))
    blocks = rows.unflatten(-1, (*block, outputs))  # (B, *spatial, *block, outputs)
    order = [axis for i in range(dims) for axis in (1 + i, 1 + dims + i)]
    fine = blocks.permute(0, *order, 2 * dims + 1)  # (B, z, block z, y, block y, x, block x, outputs)
    beside = skip.movedim(1, -1).reshape(*fine.shape[:-1], -1)
    joined = torch.cat([fine, beside], dim=-1)
    return joined.reshape(x.shape[0], *skip.shape[2:], -1).movedim(-1, 1)
