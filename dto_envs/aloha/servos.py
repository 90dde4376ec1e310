"""The joints' servos, and what an action means to them."""

from __future__ import annotations

import mujoco
import numpy as np

ARM_JOINTS = (
    *("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate"),
    *("left_finger", "right_finger"),
)
# A gripper's command is 0, closed, to 1, open: the distance of each finger from the middle in m, as gym-aloha maps it.
CLOSED, OPEN = 0.01844, 0.05800

# Stiffness (N m/rad, N/m), largest torque or force, and range of each joint: gym-aloha's, but for the fingers, which
# pull ten times harder in our scenes, since they hold a bowl by its thin wall.
SERVOS = {
    "waist": (800.0, 150.0, (-3.14158, 3.14158)),
    "shoulder": (1600.0, 300.0, (-1.85005, 1.25664)),
    "elbow": (800.0, 100.0, (-1.76278, 1.6057)),
    "forearm_roll": (10.0, 100.0, (-3.14158, 3.14158)),
    "wrist_angle": (50.0, 0.0, (-1.8675, 2.23402)),
    "wrist_rotate": (20.0, 0.0, (-3.14158, 3.14158)),
    "left_finger": (2000.0, 0.0, (0.021, 0.057)),
    "right_finger": (2000.0, 0.0, (-0.057, -0.021)),
}


def add_servos(spec: mujoco.MjSpec, arm: str) -> None:
    """Give one arm its position servos; a largest torque of 0 is none."""
    for joint in ARM_JOINTS:
        stiffness, limit, (low, high) = SERVOS[joint]
        servo = spec.add_actuator(
            name=f"vx300s_{arm}/{joint}",
            target=f"vx300s_{arm}/{joint}",
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
            gainprm=[stiffness] + [0.0] * 9,
            biasprm=[0.0, -stiffness] + [0.0] * 8,
            ctrllimited=True,
            ctrlrange=(low, high),
        )
        if limit:
            servo.forcelimited = True
            servo.forcerange = (-limit, limit)


def servo_targets(action: np.ndarray) -> np.ndarray:
    """What the servos of the arms are told: (8 n,) joint angles in rad and finger positions in m.

    Args:
        action: (7 n,) for each arm six joint angles in rad and the gripper's opening, 0 to 1.
    """
    arms = action.reshape(-1, 7)
    finger = CLOSED + arms[:, 6:] * (OPEN - CLOSED)
    return np.concatenate([arms[:, :6], finger, -finger], axis=1).ravel()


def opening(finger: np.ndarray) -> np.ndarray:
    """The gripper's opening, 0 to 1, for a left finger's position in m; the inverse of what a command means."""
    return (finger - CLOSED) / (OPEN - CLOSED)
