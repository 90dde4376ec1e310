"""What a scripted expert sees: the poses in a robosuite state observation, and where it wants the gripper to go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

# The gripper pointing straight down with its fingers closing along the world's y, as the arm starts.
DOWN = Rotation.from_quat([1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True)
class Scene:
    """Poses in the world frame, in m.

    Attributes:
        object_position: (3,) the object's origin.
        object_rotation: the object's orientation.
        tool_position: (3,) the point between the finger tips.
        tool_rotation: the hand's orientation; its z axis is the approach, the fingers close along its y.
        width: distance between the fingers, 0 to 0.08 m.
    """

    object_position: np.ndarray
    object_rotation: Rotation
    tool_position: np.ndarray
    tool_rotation: Rotation
    width: float

    @property
    def object_yaw(self) -> float:
        """Angle of the object's x axis about the world's z, in rad."""
        return _heading(self.object_rotation)

    @property
    def tool_yaw(self) -> float:
        """Angle of the hand's x axis about the world's z, in rad; 0 as the arm starts."""
        return _heading(self.tool_rotation)


@dataclass(frozen=True)
class Goal:
    """Where the gripper should go, now.

    Attributes:
        position: (3,) target of the tool point in m.
        rotation: target orientation of the hand.
        close: True to close the fingers.
        reach: horizontal distance in m left to what the movement is for; far away, people aim loosely.
    """

    position: np.ndarray
    rotation: Rotation
    close: bool
    reach: float


def see(observation: np.ndarray, object_pose: int) -> Scene:
    """Read a state observation.

    Args:
        observation: (D,) object-state, then tool position (3), hand quaternion (4) and finger positions (2).
        object_pose: index at which the object's position (3) and quaternion (4) stand in it.
    """
    hand = len(observation) - 9
    return Scene(
        object_position=observation[object_pose : object_pose + 3],
        object_rotation=Rotation.from_quat(observation[object_pose + 3 : object_pose + 7]),
        tool_position=observation[hand : hand + 3],
        tool_rotation=Rotation.from_quat(observation[hand + 3 : hand + 7]),
        width=float(observation[hand + 7] - observation[hand + 8]),
    )


def pointing_down(yaw: float) -> Rotation:
    """The hand pointing straight down, turned by ``yaw`` rad about the world's z."""
    return Rotation.from_rotvec([0.0, 0.0, yaw]) * DOWN


def wrap(angle: float, period: float = 2 * np.pi) -> float:
    """``angle`` moved into [-period / 2, period / 2)."""
    return float((angle + period / 2) % period - period / 2)


def nearest(angle: float, to: float, period: float) -> float:
    """Of the angles that equal ``angle`` up to ``period``, the one nearest to ``to``."""
    return to + wrap(angle - to, period)


def _heading(rotation: Rotation) -> float:
    x_axis = rotation.as_matrix()[:, 0]
    return float(np.arctan2(x_axis[1], x_axis[0]))
