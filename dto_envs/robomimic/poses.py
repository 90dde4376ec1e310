"""Poses as robosuite reports them: through its own functions, whose single precision is part of robomimic's data."""

from __future__ import annotations

from collections.abc import Iterable

import mujoco
import numpy as np

from dto_envs.robomimic.control import ArmIndices

WXYZ_TO_XYZW = np.array([1, 2, 3, 0])
Pose = tuple[np.ndarray, np.ndarray]  # position (3,) m, quaternion (4,) xyzw


class Hand:
    """A gripper's pose and fingers in a simulation; the arrays are views of MuJoCo's."""

    def __init__(self, arm: ArmIndices, data: mujoco.MjData) -> None:
        """Bind to the gripper of ``arm``."""
        self.position = data.site(arm.grip_site).xpos
        self._quaternion = data.body(arm.hand_body).xquat
        self.fingers = data.qpos[slice(arm.finger_positions[0], arm.finger_positions[-1] + 1)]

    def pose(self) -> Pose:
        """Position of the grip site and orientation of the hand."""
        return self.position.copy(), self._quaternion[WXYZ_TO_XYZW]


class RelativePose:
    """An object's pose in the gripper's frame as robosuite has it: where the object was a step ago; zero at reset."""

    def __init__(self) -> None:
        """Begin without a memory."""
        self.reset()

    def reset(self) -> None:
        """Forget where the object was."""
        self._seen: Pose | None = None

    def read(self, pose: Pose, world_in_hand: np.ndarray) -> Pose:
        """The relative pose to report now.

        Args:
            pose: the object's present pose in the world, which the next call will use.
            world_in_hand: (4, 4) the world's pose in the gripper's frame now.
        """
        from robosuite.utils import transform_utils

        seen, self._seen = self._seen, pose
        if seen is None:
            return np.zeros(3), np.zeros(4)
        return transform_utils.mat2pose(
            transform_utils.pose_in_A_to_pose_in_B(transform_utils.pose2mat(seen), world_in_hand)
        )


def world_in(frame: Pose) -> np.ndarray:
    """The world's pose (4, 4) in a frame whose pose in the world is ``frame``."""
    from robosuite.utils import transform_utils

    return transform_utils.pose_inv(transform_utils.pose2mat(frame))


def quaternion_of(matrix: np.ndarray) -> np.ndarray:
    """Quaternion (4,) xyzw of a rotation matrix (9,), in robosuite's single precision."""
    from robosuite.utils.transform_utils import mat2quat

    return mat2quat(matrix.reshape(3, 3))


class Touch:
    """Whether any geom of one group is in contact with any of another."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, one: Iterable[str], other: Iterable[str]) -> None:
        """Bind to two groups of geoms, given by name."""
        self._data = data
        self._one, self._other = (np.zeros(model.ngeom, dtype=bool) for _ in range(2))
        self._one[[model.geom(name).id for name in one]] = True
        self._other[[model.geom(name).id for name in other]] = True

    def __call__(self) -> bool:
        """Whether they touch now."""
        first, second = self._data.contact.geom.T
        return bool((self._one[first] & self._other[second]).any() or (self._one[second] & self._other[first]).any())
