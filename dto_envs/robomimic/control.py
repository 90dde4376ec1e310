"""Operational-space control of arms and their grippers: what it remembers between the actions of one simulation."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from dto_envs.robomimic.control_kernel import execute

GRIPPER_SPEED = 0.2
MAX_DELTA = np.array([0.05, 0.05, 0.05, 0.5, 0.5, 0.5])


@dataclass(frozen=True)
class ArmIndices:
    """Where a robot's arm and gripper are in a MuJoCo model.

    Attributes:
        positions: addresses of the arm's joints in qpos.
        dofs: addresses of the arm's joints in qvel.
        motors: actuators of the arm's joints.
        finger_motors: actuators of the fingers.
        grip_site: name of the site that is controlled.
        base_site: name of the site whose frame actions are given in.
        hand_body: name of the body whose orientation is the end effector's.
        finger_positions: addresses of the fingers' joints in qpos.
    """

    positions: tuple[int, ...]
    dofs: tuple[int, ...]
    motors: tuple[int, ...]
    finger_motors: tuple[int, ...]
    grip_site: str
    base_site: str
    hand_body: str
    finger_positions: tuple[int, ...]


class ArmControl:
    """Executes actions on one simulation and remembers what controllers do: the fingers' commands and the postures."""

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        arms: tuple[ArmIndices, ...],
        physics_steps: int,
        watched: int = -1,
    ) -> None:
        """Bind the compiled loop to a simulation.

        Args:
            model: compiled model.
            data: its simulation state, forwarded once.
            arms: where each arm is, in the order of the actions.
            physics_steps: physics steps per action.
            watched: number of the body whose contact force is followed, -1 for none; the model must have a sensor of
                forces, for whose sake MuJoCo works them out in every physics step.
        """
        self._owners = (model, data)
        positions, dofs, motors, finger_motors = (
            np.array([getattr(arm, part) for arm in arms], dtype=np.int64)
            for part in ("positions", "dofs", "motors", "finger_motors")
        )
        columns = np.full((len(arms), model.nv), -1, dtype=np.int64)
        for row, arm in zip(columns, arms, strict=True):
            row[list(arm.dofs)] = np.arange(len(arm.dofs))
        sites = np.array([model.site(arm.grip_site).id for arm in arms], dtype=np.int32)
        indices = (positions, dofs, motors, finger_motors, sites, columns)
        tree = (model.dof_Madr, model.dof_parentid)
        state = (data.qpos, data.qvel, data.qM, data.qfrc_bias, data.site_xpos, data.site_xmat)
        self._joint_positions = positions
        self._fixed = (model._address, data._address, physics_steps, indices, tree, state)
        self._controls = (data.ctrl, model.actuator_ctrlrange)
        self._bases = np.array([data.site(arm.base_site).xmat.reshape(3, 3) for arm in arms])
        self._finger_range = model.actuator_ctrlrange[finger_motors]
        self._force_at_rest = np.zeros(3)
        self._watched = (data.cfrc_ext, watched, self._force_at_rest)
        self.reset()

    def reset(self) -> None:
        """Forget the past: fingers return to the middle, posture and force at rest are the current ones."""
        self.finger_commands = np.zeros((len(self._bases), 2))
        self.postures = self._owners[1].qpos[self._joint_positions]
        wrenches, body, _ = self._watched
        self._force_at_rest[:] = wrenches[body, 3:] if body >= 0 else 0.0

    def execute(self, action: np.ndarray) -> float:
        """Execute one action, (7,) per arm: translation, rotation vector and gripper in [-1, 1], clipped where beyond.

        The gripper's number matters by its sign alone; it moves the fingers' command by 0.2 towards closed or open.

        Returns:
            The largest force on the watched body on the way, beyond that at rest, N; 0 where none is watched.
        """
        actions = action.reshape(-1, 7)
        scaled = np.clip(actions[:, :6], -1.0, 1.0) * MAX_DELTA
        turns = np.array([rotation(vector) for vector in scaled[:, 3:]])
        moved = self.finger_commands + np.array([-1.0, 1.0]) * GRIPPER_SPEED * np.sign(actions[:, 6:])
        self.finger_commands = np.clip(moved, -1.0, 1.0)
        low, high = self._finger_range[..., 0], self._finger_range[..., 1]
        fingers = np.clip(0.5 * (high + low) + 0.5 * (high - low) * self.finger_commands, low, high)
        deltas = np.ascontiguousarray(scaled[:, :3])
        poses = (deltas, turns, self._bases, self.postures, fingers)
        return execute(*self._fixed, *self._controls, self._watched, *poses)


def rotation(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) of a rotation vector (3,), rounded to float32 on the way as robosuite does."""
    from robosuite.utils.transform_utils import axisangle2quat, quat2mat

    return quat2mat(axisangle2quat(vector))
