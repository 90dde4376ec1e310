"""What a network is shown of a state: orientations without the jumps that quaternions have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def feature_size(state_size: int, rotations: Sequence[int]) -> int:
    """Number of features of a state of ``state_size`` numbers with quaternions at ``rotations``."""
    return state_size + 2 * len(rotations)


def features(states: Tensor, rotations: Sequence[int]) -> Tensor:
    """Replace quaternions by the first two columns of their rotation matrices (Zhou et al. 2019).

    A quaternion and its negative are the same rotation. Simulators switch between them without notice, most often for
    a gripper that points straight down; its matrix does not jump.

    Args:
        states: (..., D) states.
        rotations: index of each quaternion's first number, order x, y, z, w. A quaternion of zeros, as robosuite
            observes at a reset, becomes zeros.

    Returns:
        (..., D + 2 * len(rotations)): the other numbers in their order, then six for each quaternion.
    """
    if not rotations:
        return states
    taken = {start + offset for start in rotations for offset in range(4)}
    kept = [index for index in range(states.shape[-1]) if index not in taken]
    return torch.cat([states[..., kept], *(_two_columns(states[..., start : start + 4]) for start in rotations)], -1)


def _two_columns(quaternions: Tensor) -> Tensor:
    x, y, z, w = quaternions.unbind(-1)
    first = (w * w + x * x - y * y - z * z, 2 * (x * y + w * z), 2 * (x * z - w * y))
    second = (2 * (x * y - w * z), w * w - x * x + y * y - z * z, 2 * (y * z + w * x))
    return torch.stack(first + second, dim=-1)
