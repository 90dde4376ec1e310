"""What a scripted hand sees of a table."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from dto_agents.aloha.kinematics import ArmKinematics, Pose, gripper
from dto_agents.aloha.strokes import Stroke

# What a hand does, stroke after stroke; None waits for a step.
Script = Generator["Stroke | None", None, None]


class View:
    """The newest state observation, read: scripts keep it and look at it whenever they go on."""

    def __init__(self, arms: Sequence[ArmKinematics], things: Sequence[str]) -> None:
        """Prepare to read observations with these arms and things."""
        self._arms, self._names = arms, list(things)
        self._joints, self._poses = np.zeros((len(arms), 7)), np.zeros((len(things), 7))

    def update(self, observation: np.ndarray) -> None:
        """Read a state observation (D,)."""
        arms = len(self._arms)
        self._joints = observation[: 7 * arms].reshape(-1, 7)
        self._poses = observation[14 * arms :].reshape(-1, 7)

    def thing(self, name: str) -> Pose:
        """Where a thing is."""
        pose = self._poses[self._names.index(name)]
        return Pose(pose[:3].copy(), Rotation.from_quat(pose[3:]))

    def place(self, name: str) -> np.ndarray:
        """The position (3,) of a thing, m."""
        return self._poses[self._names.index(name), :3].copy()

    def angles(self, arm: int) -> np.ndarray:
        """The joint angles (6,) of an arm, rad."""
        return self._joints[arm, :6].copy()

    def opening(self, arm: int) -> float:
        """How far a gripper is open, 0 to 1."""
        return float(self._joints[arm, 6])

    def tool(self, arm: int) -> Pose:
        """Where the point between an arm's finger tips is."""
        return self._arms[arm].pose(self._joints[arm, :6])

    def towards(self, arm: int, place: np.ndarray, pitch: float, roll: float = 0.0, aside: float = 0.0) -> Rotation:
        """A gripper that points away from the base of ``arm`` along the horizon, and down by ``pitch`` rad.

        The tool is at ``place`` (2 or 3,), or ``aside`` m to the left of it, as the gripper looks. The forearm then
        points as the gripper does; where it does not, a nearly straight wrist has to roll far for a small turn.
        """
        x, y = place[:2] - self._arms[arm].base[:2]
        turned = np.arcsin(np.clip(aside / np.hypot(x, y), -1.0, 1.0))
        return gripper(float(np.arctan2(y, x) + turned), pitch, roll)
