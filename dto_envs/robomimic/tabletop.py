"""What robosuite reports of Lift, PickPlaceCan and NutAssemblySquare: one object, and whether it is in its place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

from dto_envs.robomimic.build import Scene
from dto_envs.robomimic.poses import WXYZ_TO_XYZW, Hand, RelativePose, world_in


class OneObject:
    """Looks at the one object of a task.

    The object-state of PickPlaceCan and NutAssemblySquare (14,) is the pose in the gripper's frame, then that in the
    world; Lift's (10,) is the pose in the world, then the cube's position minus the gripper's.

    Success: cube 4 cm above the table, can in its bin and let go, nut on its peg and let go. "Let go" asks for
    1 - tanh(10 distance) < 0.6 between grip site and object, more than 42 mm.
    """

    def __init__(self, scene: Scene, data: mujoco.MjData, hands: tuple[Hand, ...]) -> None:
        """Bind to a simulation; the places come from robosuite's environment."""
        name = scene.task.robosuite_name
        thing = data.body(scene.task.object_body)
        self._position, self._quaternion = thing.xpos, thing.xquat
        self._hand = hands[0]
        self._is_lift = name == "Lift"
        self._inside = PLACES[name](scene.robosuite_env, data)
        self._relative = RelativePose()

    def reset(self) -> None:
        """Forget where the object was."""
        self._relative.reset()

    def object_state(self) -> tuple[np.ndarray, ...]:
        """The parts of robosuite's object-state."""
        position, quaternion = pose = self._position.copy(), self._quaternion[WXYZ_TO_XYZW]
        hand = self._hand.pose()
        if self._is_lift:
            return position, quaternion, position - hand[0]
        return *self._relative.read(pose, world_in(hand)), position, quaternion

    def success(self) -> bool:
        """Whether the task is done now."""
        x, y, z = self._position.tolist()
        if not self._inside(x, y, z):
            return False
        distance = float(np.linalg.norm(self._hand.position - self._position))
        return self._is_lift or 1 - math.tanh(10.0 * distance) < 0.6


def _above_table(env: Any, data: mujoco.MjData) -> Callable[[float, float, float], bool]:
    height = float(env.model.mujoco_arena.table_offset[2]) + 0.04
    return lambda x, y, z: z > height


def _in_bin(env: Any, data: mujoco.MjData) -> Callable[[float, float, float], bool]:
    """The can's quarter of the second bin, 0.1 m high."""
    x_low, y_low, floor = env.bin2_pos.tolist()
    x_high, y_high = x_low + env.bin_size[0] / 2, y_low + env.bin_size[1] / 2
    return lambda x, y, z: x_low < x < x_high and y_low < y < y_high and floor < z < floor + 0.1


def _on_peg(env: Any, data: mujoco.MjData) -> Callable[[float, float, float], bool]:
    peg_x, peg_y, _ = data.xpos[env.peg1_body_id].tolist()
    top = env.table_offset[2] + 0.05
    return lambda x, y, z: abs(x - peg_x) < 0.03 and abs(y - peg_y) < 0.03 and z < top


PLACES = {"Lift": _above_table, "PickPlaceCan": _in_bin, "NutAssemblySquare": _on_peg}
