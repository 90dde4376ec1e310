"""Where the hands of arms are that a state tells of by joint angles only: forward kinematics of whole batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Trossen's ViperX 300 with six joints: the axis that each turns about, and where it lies in the frame of the link
# before, in m; then the point between the finger tips in the frame of the last link.
_CHAIN = (
    ("z", (0.0, 0.0, 0.079)),
    ("y", (0.0, 0.0, 0.04805)),
    ("y", (0.05955, 0.0, 0.3)),
    ("x", (0.2, 0.0, 0.0)),
    ("y", (0.1, 0.0, 0.0)),
    ("x", (0.069744, 0.0, 0.0)),
)
_TOOL = (0.13, 0.0, 0.0)


class Hand(NamedTuple):
    """The hand of a ViperX.

    Attributes:
        joints: where the arm's six joint angles begin in the state, in rad.
        base: where the arm stands in the world, in m.
        heading: how far it is turned there about the vertical, in rad.
    """

    joints: int
    base: tuple[float, ...]
    heading: float


def with_hands(states: Tensor, hands: Sequence[Hand]) -> Tensor:
    """States (..., D) with the pose of each hand after them, (..., D + 7 * len(hands)).

    A pose is the position (m, world) of the point between the finger tips and the hand's quaternion (x, y, z, w).
    """
    if not hands:
        return states
    return torch.cat([states, *(_pose(states[..., hand.joints : hand.joints + 6], hand) for hand in hands)], -1)


def _pose(angles: Tensor, hand: Hand) -> Tensor:
    position = angles.new_tensor(hand.base).expand(*angles.shape[:-1], 3)
    turn = _turn("z", angles.new_tensor(hand.heading).expand(angles.shape[:-1]))
    for joint, (axis, offset) in enumerate(_CHAIN):
        position = position + _apply(turn, angles.new_tensor(offset))
        turn = _after(turn, _turn(axis, angles[..., joint]))
    return torch.cat([position + _apply(turn, angles.new_tensor(_TOOL)), turn], -1)


def _turn(axis: str, angle: Tensor) -> Tensor:
    """The quaternion (..., 4) of a turn by ``angle`` (...) about a coordinate axis."""
    half, zero = 0.5 * angle, torch.zeros_like(angle)
    parts = {name: half.sin() if name == axis else zero for name in "xyz"}
    return torch.stack([*parts.values(), half.cos()], -1)


def _after(first: Tensor, second: Tensor) -> Tensor:
    """The quaternion (..., 4) of ``second``, seen in the frame that ``first`` turned."""
    v, w = first[..., :3], first[..., 3:]
    u, s = second[..., :3], second[..., 3:]
    return torch.cat([w * u + s * v + torch.linalg.cross(v, u), w * s - (v * u).sum(-1, keepdim=True)], -1)


def _apply(turn: Tensor, vector: Tensor) -> Tensor:
    """A vector (3,) turned by unit quaternions (..., 4)."""
    v, w = turn[..., :3], turn[..., 3:]
    doubled = 2 * torch.linalg.cross(v, vector.expand_as(v))
    return vector + w * doubled + torch.linalg.cross(v, doubled)


LEFT_ARM = Hand(0, (-0.469, 0.5, 0.0), 0.0)
RIGHT_ARM = Hand(7, (0.469, 0.5, 0.0), math.pi)
