"""The part that LeTO's two real-world tasks share: velocity commands for a tool that stays level, and contact force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

from dto_envs.leto.building import LetoScene
from dto_envs.leto.posing import turn_between
from dto_envs.robomimic.arm_env import ArmEnv, Reader
from dto_envs.robomimic.control import MAX_DELTA
from dto_envs.robomimic.rendering import Painter


class LetoEnv(ArmEnv):
    """Commands of fewer than six velocities; what is not commanded of the tool's orientation is held.

    Attributes:
        from_rest: True: filters link the first action to a standstill (LeTO, section III-D), since what the gripper
            holds feels the first jerk as it does all others.
        contact_force: the largest force on the table within the last step beyond the weight that rested on it at the
            reset, N.
    """

    from_rest = True
    watched_body = "table"
    _scene: LetoScene

    def __init__(
        self,
        task: str,
        scene: Callable[[], LetoScene],
        reader: Callable[[LetoScene, mujoco.MjData], Reader],
        painter: Callable[[str], Painter],
        upright: np.ndarray,
        **choices: Any,
    ) -> None:
        """Bind to the scene.

        Args:
            task: as for :class:`ArmEnv`.
            scene: likewise.
            reader: likewise.
            painter: likewise.
            upright: (4,) orientation of the tool at yaw 0, quaternion wxyz.
            choices: the other arguments of :class:`ArmEnv`.
        """
        self._upright = upright
        self.contact_force = 0.0
        super().__init__(task, scene, reader, painter, **choices)
        self._hand = self.data.body(self._scene.arm.hand_body)

    def _sample(self, seed: int) -> tuple[np.ndarray, None]:
        return self._scene.sample(seed, **self._choices()), None

    def _choices(self) -> dict[str, Any]:
        """What the environment was told about its initial states."""
        return {}

    def _full_action(self, action: np.ndarray) -> np.ndarray:
        """Translation, rotation and gripper (7,) of an action, as :class:`ArmControl` takes them."""
        raise NotImplementedError

    def _advance(self, action: np.ndarray) -> tuple[bool, np.ndarray]:
        self.contact_force = self._control.execute(self._full_action(np.clip(action, -1.0, 1.0)))
        return self._reader.success(), self._reader.read()

    def _restore(self, state: np.ndarray) -> None:
        super()._restore(state)
        self.contact_force = 0.0

    def _hold(self, yaw: float) -> np.ndarray:
        """The rotation (3,) on the action's scale that brings the tool level, with a heading of ``yaw`` rad."""
        turn, wanted = np.empty(4), np.empty(4)
        mujoco.mju_axisAngle2Quat(turn, np.array([0.0, 0.0, 1.0]), yaw)
        mujoco.mju_mulQuat(wanted, turn, self._upright)
        return np.clip(turn_between(self._hand.xquat, wanted) / MAX_DELTA[3:], -1.0, 1.0)
