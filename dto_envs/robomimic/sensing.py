"""What robosuite reports after an action: the state observation and success, read once from MuJoCo's arrays."""

from __future__ import annotations

import math
from typing import Any

import mujoco
import numpy as np

from dto_envs.robomimic.build import Scene

STATE_KEYS = ("object-state", "robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos")
WXYZ_TO_XYZW = np.array([1, 2, 3, 0])


def robosuite_state_vector(observations: dict[str, np.ndarray]) -> np.ndarray:
    """Concatenate robosuite's own observations in the order of robomimic's low-dimensional policies."""
    return np.concatenate([observations[key] for key in STATE_KEYS])


class StateReader:
    """Reads the state vector as robosuite composes it, with its memory of where the object was a step ago."""

    def __init__(self, scene: Scene, data: mujoco.MjData) -> None:
        """Bind to a simulation; the arrays are views of MuJoCo's."""
        thing, hand = data.body(scene.task.object_body), data.body(scene.hand_body)
        self._object_position, self._object_quaternion = thing.xpos, thing.xquat
        self._hand_position, self._hand_quaternion = data.site(scene.arm.grip_site).xpos, hand.xquat
        self._fingers = data.qpos[slice(scene.finger_positions[0], scene.finger_positions[-1] + 1)]
        self._relative = scene.task.box is None
        self.reset()

    def reset(self) -> None:
        """Forget where the object was."""
        self._seen: tuple[np.ndarray, np.ndarray] | None = None

    def read(self) -> np.ndarray:
        """The state vector (19,) or (23,), float64."""
        position, quaternion = self._object_position.copy(), self._object_quaternion[WXYZ_TO_XYZW]
        hand_position, hand_quaternion = self._hand_position.copy(), self._hand_quaternion[WXYZ_TO_XYZW]
        hand = (hand_position, hand_quaternion, self._fingers)
        if not self._relative:
            return np.concatenate([position, quaternion, position - hand_position, *hand])
        if self._seen is None:
            relative_position, relative_quaternion = np.zeros(3), np.zeros(4)
        else:
            relative_position, relative_quaternion = pose_in_frame(*self._seen, hand_position, hand_quaternion)
        self._seen = (position, quaternion)
        return np.concatenate([relative_position, relative_quaternion, position, quaternion, *hand])


def pose_in_frame(
    position: np.ndarray, quaternion: np.ndarray, frame_position: np.ndarray, frame_quaternion: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A world pose seen from a frame, by robosuite's own functions: their single precision is part of the data.

    Args:
        position: (3,) m.
        quaternion: (4,) xyzw.
        frame_position: (3,) origin of the frame, m.
        frame_quaternion: (4,) xyzw orientation of the frame.

    Returns:
        Position (3,) and quaternion (4,) xyzw in the frame.
    """
    from robosuite.utils import transform_utils

    world_in_frame = transform_utils.pose_inv(transform_utils.pose2mat((frame_position, frame_quaternion)))
    pose = transform_utils.pose2mat((position, quaternion))
    return transform_utils.mat2pose(transform_utils.pose_in_A_to_pose_in_B(pose, world_in_frame))


class SuccessCheck:
    """Robosuite's success conditions: cube 4 cm above the table, can in its bin and let go, nut on its peg and let go.

    "Let go" asks for more than 1 - tanh(10 distance) < 0.6 between grip site and object: 42 mm.
    """

    def __init__(self, scene: Scene, data: mujoco.MjData) -> None:
        """Bind to a simulation; the places come from robosuite's environment."""
        self._object = data.body(scene.task.object_body).xpos
        self._hand = data.site(scene.arm.grip_site).xpos
        self._inside = PLACES[scene.task.robosuite_name](scene.robosuite_env)
        self._must_let_go = scene.task.box is None

    def __call__(self) -> bool:
        """Whether the task is done now."""
        x, y, z = self._object.tolist()
        if not self._inside(x, y, z):
            return False
        return not self._must_let_go or 1 - math.tanh(10.0 * float(np.linalg.norm(self._hand - self._object))) < 0.6


def _above_table(env: Any) -> Any:
    height = float(env.model.mujoco_arena.table_offset[2]) + 0.04
    return lambda x, y, z: z > height


def _in_bin(env: Any) -> Any:
    """The can's quarter of the second bin, 0.1 m high."""
    x_low, y_low, floor = env.bin2_pos.tolist()
    x_high, y_high = x_low + env.bin_size[0] / 2, y_low + env.bin_size[1] / 2
    return lambda x, y, z: x_low < x < x_high and y_low < y < y_high and floor < z < floor + 0.1


def _on_peg(env: Any) -> Any:
    peg_x, peg_y, _ = env.sim.data.body_xpos[env.peg1_body_id].tolist()
    top = env.table_offset[2] + 0.05
    return lambda x, y, z: abs(x - peg_x) < 0.03 and abs(y - peg_y) < 0.03 and z < top


PLACES = {"Lift": _above_table, "PickPlaceCan": _in_bin, "NutAssemblySquare": _on_peg}
