"""Where a ViperX's gripper is, and with which joint angles it gets somewhere else."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from dto_envs.aloha.scene import scene
from dto_envs.registry import row

TOOL = np.array([0.13, 0.0, 0.0])  # between the finger tips, in the frame of the gripper's link
TURN_WEIGHT = 0.15  # m that an error of 1 rad is worth
DAMPING = 0.02
# Near a straight wrist the two rolls do the same and could run away from each other: both are drawn to 0.
RELAXING = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 1.0]) * 0.01**2
LARGEST_STEP = 0.2  # rad
ITERATIONS = 20
CLOSE_ENOUGH = 2e-4  # m
STALLED = 2e-4  # rad


@dataclass(frozen=True)
class Pose:
    """Where something is and how it is turned, in the world frame.

    Attributes:
        position: (3,) m.
        rotation: its orientation; a gripper's x axis is its approach, and its fingers close along y.
    """

    position: np.ndarray
    rotation: Rotation

    def at(self, point: np.ndarray) -> np.ndarray:
        """World position (3,) of a ``point`` (3,) given in this frame."""
        return self.position + self.rotation.apply(point)

    def shifted(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Pose:
        """The same orientation elsewhere; m along the world's axes."""
        return Pose(self.position + np.array([x, y, z]), self.rotation)


class ArmKinematics:
    """One arm of a task: forward kinematics, and inverse within the limits of the task's actions."""

    def __init__(self, task: str, arm: int) -> None:
        """Take arm number ``arm`` of a task, on a simulation of its own."""
        built = scene(task)
        layout = row(f"dto/{task}-v0").layout
        self._model, self._data = built.model, mujoco.MjData(built.model)
        self._positions = built.arms[arm].positions[:6]
        self._dofs = built.arms[arm].dofs[:6]
        self._link = built.model.body(f"vx300s_{built.task.arms[arm]}/gripper_link").id
        self.base = built.model.body(f"vx300s_{built.task.arms[arm]}").pos.copy()
        self.low = np.array(layout.low[7 * arm : 7 * arm + 6])
        self.high = np.array(layout.high[7 * arm : 7 * arm + 6])
        self._jacobian = np.zeros((6, built.model.nv))
        self._turn = np.zeros(3)

    def pose(self, angles: np.ndarray) -> Pose:
        """The tool's pose at joint angles (6,) rad."""
        tool, turned = self._place(angles)
        return Pose(tool, Rotation.from_matrix(turned))

    def angles(self, target: Pose, near: np.ndarray) -> np.ndarray:
        """Joint angles (6,) rad whose pose is nearest to ``target``, found from ``near`` (6,) by damped least squares.

        An error of orientation counts ``TURN_WEIGHT`` m per rad. A joint at its limit leaves the rest to the others.
        """
        angles = np.clip(near, self.low, self.high)
        x, y, z, w = target.rotation.as_quat()
        wanted = np.array([w, x, y, z])
        for _ in range(ITERATIONS):
            tool, turned = self._place(angles)
            mujoco.mju_subQuat(self._turn, wanted, self._data.xquat[self._link])
            error = np.concatenate([target.position - tool, TURN_WEIGHT * (turned @ self._turn)])
            if np.abs(error).max() < CLOSE_ENOUGH:
                break
            better = self._improve(angles, tool, error)
            if np.abs(better - angles).max() < STALLED:
                break
            angles = better
        return angles

    def _place(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Put the arm there; the tool's position (3,) and the gripper's axes (3, 3) as columns."""
        self._data.qpos[self._positions] = angles
        mujoco.mj_kinematics(self._model, self._data)
        turned = self._data.xmat[self._link].reshape(3, 3)
        return self._data.xpos[self._link] + turned @ TOOL, turned

    def _improve(self, angles: np.ndarray, tool: np.ndarray, error: np.ndarray) -> np.ndarray:
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jac(self._model, self._data, self._jacobian[:3], self._jacobian[3:], tool, self._link)
        jacobian = self._jacobian[:, self._dofs].copy()
        jacobian[3:] *= TURN_WEIGHT
        curvature = jacobian.T @ jacobian + np.diag(DAMPING**2 + RELAXING)
        slope = jacobian.T @ error - RELAXING * angles
        free = np.ones(6, dtype=bool)
        step = np.zeros(6)
        for _ in range(6):
            step[:] = 0.0
            step[free] = np.linalg.solve(curvature[np.ix_(free, free)], slope[free])
            stuck = free & (((angles <= self.low) & (step < 0)) | ((angles >= self.high) & (step > 0)))
            if not stuck.any():
                break
            free &= ~stuck
        step *= min(1.0, LARGEST_STEP / max(float(np.abs(step).max()), 1e-9))
        return np.clip(angles + step, self.low, self.high)


def gripper(heading: float, pitch: float, roll: float = 0.0) -> Rotation:
    """A gripper that points ``pitch`` rad below the horizon in the direction ``heading`` (about the world's z).

    At ``roll`` 0 its fingers close along the horizon.
    """
    return Rotation.from_euler("ZYX", [heading, pitch, roll])
