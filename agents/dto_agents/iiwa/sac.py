"""A model-free controller of the iiwa: what a soft actor-critic policy sees and commands, and the agent that uses it.

Training is in :mod:`dto_agents.iiwa.sac_training`; here is no reinforcement learning and no library for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dto_agents import zoo
from dto_agents.actor import Policy, read_policy
from dto_agents.iiwa.agents import ENV_ID
from dto_agents.simple import state_of
from dto_envs.iiwa.constants import JOINTS
from dto_envs.iiwa.env import STATE
from dto_envs.iiwa.model import goal_state, goal_torque

KIND = "iiwa-sac"
FEATURES = 2 * JOINTS
# Ours: what optimal torques add to the goal's from the default starts, and a quarter more. Over the whole range of the
# wrist's torques random actions lock the brakes within two steps, and nothing is learned.
SPANS = np.array([22.0, 125.0, 18.0, 27.0, 1.0, 1.5, 0.05])  # Nm


def features(observations: np.ndarray) -> np.ndarray:
    """What the policy sees of state observations (B, 22): the state from the goal, (B, 14) float32 in rad and rad/s."""
    return (np.asarray(observations)[:, STATE] - goal_state()).astype(np.float32)


def torques_of(actions: np.ndarray) -> np.ndarray:
    """Torques (B, 7) float32 in Nm of the policy's actions (B, 7) in [-1, 1], around those that hold the goal."""
    return (goal_torque() + SPANS * np.asarray(actions, dtype=np.float64)).astype(np.float32)


class SacAgent:
    """Reaches with a trained policy, without exploring."""

    def __init__(self, policy: Policy) -> None:
        """Act with ``policy``."""
        self._policy = policy

    def reset(self, seeds: Sequence[int]) -> None:
        """Nothing to remember."""

    def act(self, observations: Any) -> np.ndarray:
        """One torque per episode, (B, 7) float32 in Nm."""
        return torques_of(self._policy(features(state_of(observations))))


def load_agent(entry: zoo.Entry, env_id: str) -> SacAgent:
    """The agent of a zoo's entry.

    Raises:
        ValueError: another environment than the iiwa's reaching.
        dto_agents.zoo.DamagedWeightsError: the file holds no such policy.
    """
    if env_id != ENV_ID:
        raise ValueError(f"{KIND} acts in {ENV_ID} only, not in {env_id}")
    return SacAgent(read_policy(entry, KIND, env_id, features=FEATURES, actions=JOINTS))
