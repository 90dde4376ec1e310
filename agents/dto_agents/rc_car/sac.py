"""A model-free driver: what a soft actor-critic policy sees, and the agent that drives with it.

Training is in :mod:`dto_agents.rc_car.sac_training`; here is no reinforcement learning and no library for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dto_agents import zoo
from dto_agents.actor import Policy, read_policy
from dto_agents.simple import state_of
from dto_envs.rc_car.env import ACTIONS, POSE, VELOCITY
from dto_envs.rc_car.manoeuvre import CANS, TARGET, TARGET_TIME, WAY_POINT, WAY_POINT_TIME

KIND = "rc-car-sac"
FEATURES = 24
OMEGA_SCALE = 5.0  # rad/s


def features(observations: np.ndarray) -> np.ndarray:
    """What the policy sees of a manoeuvre's state observations.

    Args:
        observations: (B, 38) of :class:`dto_envs.rc_car.manoeuvre.ManoeuvreEnv`.

    Returns:
        (B, 24) float32: velocity, times left, target and way point from the car (ahead, to the left, cosine and sine of
        the turn; zeros once the way point is past), cans from the car, last action, pose.
    """
    observations = np.asarray(observations, dtype=np.float64)
    pose, velocity = observations[:, POSE], observations[:, VELOCITY]
    upcoming = (observations[:, WAY_POINT_TIME] > 1e-9).astype(np.float64)[:, None]
    cans = observations[:, CANS]
    parts = [
        velocity / [1.0, 1.0, OMEGA_SCALE],
        observations[:, TARGET_TIME, None],
        np.maximum(observations[:, WAY_POINT_TIME, None], 0.0),
        upcoming,
        _from_car(pose, observations[:, TARGET]),
        upcoming * _from_car(pose, observations[:, WAY_POINT]),
        _from_car(pose, cans[:, :2]),
        _from_car(pose, cans[:, 2:]),
        observations[:, ACTIONS][:, -2:],
        pose[:, :2],
        np.cos(pose[:, 2:]),
        np.sin(pose[:, 2:]),
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _from_car(pose: np.ndarray, place: np.ndarray) -> np.ndarray:
    """A point (B, 2) ahead and to the left of cars (B, 3), in m; of a pose (B, 3) also cosine and sine of the turn."""
    away = place[:, :2] - pose[:, :2]
    cosine, sine = np.cos(pose[:, 2]), np.sin(pose[:, 2])
    seen = [cosine * away[:, 0] + sine * away[:, 1], cosine * away[:, 1] - sine * away[:, 0]]
    if place.shape[1] == 3:
        turn = place[:, 2] - pose[:, 2]
        seen += [np.cos(turn), np.sin(turn)]
    return np.stack(seen, axis=1)


class SacAgent:
    """Drives a manoeuvre with a trained policy, without exploring."""

    def __init__(self, policy: Policy) -> None:
        """Drive with ``policy``."""
        self._policy = policy

    def reset(self, seeds: Sequence[int]) -> None:
        """Nothing to remember."""

    def act(self, observations: Any) -> np.ndarray:
        """One action per episode, (B, 2) float32."""
        return self._policy(features(state_of(observations)))


def load_agent(entry: zoo.Entry, env_id: str) -> SacAgent:
    """The agent of a zoo's entry.

    Raises:
        dto_agents.zoo.DamagedWeightsError: the file holds no such policy, or one trained for another environment.
    """
    return SacAgent(read_policy(entry, KIND, env_id, features=FEATURES, actions=2))
