"""What a scripted expert sees: the poses in a robosuite state observation, and where it wants the gripper to go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

# The gripper pointing straight down with its fingers closing along the world's y, as the arm starts.
DOWN = Rotation.from_quat([1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True)
class Pose:
    """Where something is and how it is turned, in the world frame.

    Attributes:
        position: (3,) its origin in m.
        rotation: its orientation.
    """

    position: np.ndarray
    rotation: Rotation

    @property
    def yaw(self) -> float:
        """Angle of its x axis about the world's z, in rad; 0 for a gripper as the arm starts."""
        x_axis = self.rotation.as_matrix()[:, 0]
        return float(np.arctan2(x_axis[1], x_axis[0]))

    def at(self, point: np.ndarray) -> np.ndarray:
        """World position (3,) of a ``point`` (3,) given in this frame."""
        return self.position + self.rotation.apply(point)


@dataclass(frozen=True)
class Gripper(Pose):
    """A robot's gripper: the pose of the point between its finger tips, and how far it is open.

    The z axis is the approach, the fingers close along y.

    Attributes:
        width: distance between the fingers, 0 to 0.08 m.
    """

    width: float


@dataclass(frozen=True)
class Scene:
    """What there is to see.

    Attributes:
        objects: the task's objects, in the order in which its plan lists them.
        grippers: the grippers of all arms, in the order of their actions.
    """

    objects: tuple[Pose, ...]
    grippers: tuple[Gripper, ...]

    @property
    def object(self) -> Pose:
        """The object of a task that has one."""
        return self.objects[0]

    @property
    def gripper(self) -> Gripper:
        """The gripper of a task with one arm."""
        return self.grippers[0]


@dataclass(frozen=True)
class Goal:
    """Where the gripper should go, now.

    Attributes:
        position: (3,) target of the tool point in m.
        rotation: target orientation of the gripper.
        close: True to close the fingers.
        reach: horizontal distance in m left to what the movement is for; far away, people aim loosely.
        stage: what the movement belongs to, for plans that must remember it.
        pace: largest translational deflection, before the hand's speed; people slow down for what is fine.
    """

    position: np.ndarray
    rotation: Rotation
    close: bool
    reach: float
    stage: str = ""
    pace: float = 1.0


@dataclass(frozen=True)
class Memory:
    """All that an arm's plan knows beyond what is seen.

    Attributes:
        closing: whether the fingers were last told to close.
        stage: the stage of the last goal.
        steps: how many goals in a row have had that stage.
    """

    closing: bool = False
    stage: str = ""
    steps: int = 0

    def after(self, goal: Goal) -> Memory:
        """The memory once ``goal`` has been set."""
        return Memory(goal.close, goal.stage, self.steps + 1 if goal.stage == self.stage else 1)


def see(observation: np.ndarray, objects: Sequence[int], arms: int = 1) -> Scene:
    """Read a state observation.

    Args:
        observation: (D,) object-state, then for each arm the tool point's position (3), the gripper's quaternion (4)
            and the finger positions (2).
        objects: indices at which the objects' positions (3) and quaternions (4) stand in it.
        arms: number of arms.
    """
    hands = observation[len(observation) - 9 * arms :].reshape(arms, 9)
    return Scene(
        objects=tuple(Pose(*_pose(observation[start : start + 7])) for start in objects),
        grippers=tuple(Gripper(*_pose(hand), width=float(hand[7] - hand[8])) for hand in hands),
    )


def pointing_down(yaw: float) -> Rotation:
    """The gripper pointing straight down, turned by ``yaw`` rad about the world's z."""
    return Rotation.from_rotvec([0.0, 0.0, yaw]) * DOWN


def wrap(angle: float, period: float = 2 * np.pi) -> float:
    """``angle`` moved into [-period / 2, period / 2)."""
    return float((angle + period / 2) % period - period / 2)


def nearest(angle: float, to: float, period: float) -> float:
    """Of the angles that equal ``angle`` up to ``period``, the one nearest to ``to``."""
    return to + wrap(angle - to, period)


def _pose(numbers: np.ndarray) -> tuple[np.ndarray, Rotation]:
    return numbers[:3], Rotation.from_quat(numbers[3:7])
