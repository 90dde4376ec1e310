"""What a network is shown of a state: orientations without jumps, and how far things are from where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

WORLD = -1  # the world's frame, in place of a thing's
FINE = 0.002  # m: fits are shown about linearly up to here, and beyond it by the logarithm of what is missing

Point = tuple[float, ...]


class Fit(NamedTuple):
    """A point of a thing, and the point of another thing where it belongs.

    Attributes:
        moving: where the first thing's position begins in the state; its quaternion follows (x, y, z, w).
        point: of the first thing, in its frame, in m.
        still: where the other thing's position begins in the state; its quaternion follows. Or :data:`WORLD`.
        place: where the point belongs, in the other thing's frame, in m.
        near: distance in m within which it takes care; 0 for never.
    """

    moving: int
    point: Point
    still: int
    place: Point
    near: float = 0.03


def feature_size(state_size: int, rotations: Sequence[int], fits: Sequence[Fit] = (), axes: Sequence[int] = ()) -> int:
    """Number of features of a state of ``state_size`` numbers, with what :func:`features` is given beside it."""
    return state_size + 2 * len(rotations) - len(axes) + 3 * len(fits)


def features(states: Tensor, rotations: Sequence[int], fits: Sequence[Fit] = (), axes: Sequence[int] = ()) -> Tensor:
    """Replace quaternions by the first two columns of their rotation matrices (Zhou et al. 2019), and add fits.

    Of what is round only the axis is shown. How it is turned about it makes no difference to the task, but by it each
    demonstration can be told from all others, and a network learns them by heart.

    A quaternion and its negative are the same rotation. Simulators switch between them without notice, most often for
    a gripper that points straight down; its matrix does not jump.

    A fit is what is missing until a point is in its place, asinh(offset / :data:`FINE`) along the axes of the place.
    Things cross half a metre and then have to meet within a millimetre: in a network's inputs, which span the half
    metre, and several of which have to be combined for it, that millimetre is lost in the noise of training.

    Args:
        states: (..., D) states.
        rotations: index of each quaternion's first number, order x, y, z, w. A quaternion of zeros, as robosuite
            observes at a reset, becomes zeros.
        fits: which points are to meet.
        axes: index of the first number of each quaternion of a thing that is round about its z axis.

    Returns:
        (..., D + 2 * len(rotations) - len(axes) + 3 * len(fits)): the other numbers in their order, then six for each
        quaternion of ``rotations``, three for each of ``axes``, and three for each fit.
    """
    if not rotations and not fits and not axes:
        return states
    taken = {start + offset for start in (*rotations, *axes) for offset in range(4)}
    kept = [index for index in range(states.shape[-1]) if index not in taken]
    turned = (_two_columns(states[..., start : start + 4]) for start in rotations)
    pointing = (_axis(states[..., start : start + 4]) for start in axes)
    missing = (torch.asinh(_offset(states, fit) / FINE) for fit in fits)
    return torch.cat([states[..., kept], *turned, *pointing, *missing], -1)


def near_a_fit(states: Tensor, fits: Sequence[Fit]) -> Tensor:
    """Whether the point of any fit is near its place, in states (..., D); (...,) bool."""
    return torch.stack([_offset(states, fit).norm(dim=-1) < fit.near for fit in fits]).any(0)


def _two_columns(quaternions: Tensor) -> Tensor:
    x, y, z, w = quaternions.unbind(-1)
    first = (w * w + x * x - y * y - z * z, 2 * (x * y + w * z), 2 * (x * z - w * y))
    second = (2 * (x * y - w * z), w * w - x * x + y * y - z * z, 2 * (y * z + w * x))
    return torch.stack(first + second, dim=-1)


def _axis(quaternions: Tensor) -> Tensor:
    """Where the z axis points, (..., 3)."""
    x, y, z, w = quaternions.unbind(-1)
    return torch.stack((2 * (x * z + w * y), 2 * (y * z - w * x), w * w - x * x - y * y + z * z), dim=-1)


def _offset(states: Tensor, fit: Fit) -> Tensor:
    """From the place to the point (..., 3), along the axes of the thing where the place is, in m."""
    position, columns = _pose(states, fit.moving)
    origin, axes = _pose(states, fit.still)
    offset = position + (columns * states.new_tensor(fit.point)).sum(-1) - origin
    return (axes * offset[..., None]).sum(-2) - states.new_tensor(fit.place)


def _pose(states: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Position (..., 3) and rotation matrix (..., 3, 3) of the thing whose pose begins at ``start``."""
    if start == WORLD:
        return states.new_zeros(3), torch.eye(3, dtype=states.dtype)
    first, second = _two_columns(states[..., start + 3 : start + 7]).split(3, -1)
    columns = torch.stack([first, second, torch.linalg.cross(first, second)], -1)
    return states[..., start : start + 3], columns
