"""Agents for planar pushing that are told the task: they plan once, and send all keyframes as one chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dto_agents.planar.expert import FingerPlan, plan
from dto_agents.simple import state_of
from dto_envs.planar_push.constants import POSITION_STIFFNESS
from dto_envs.planar_push.observations import read_task
from dto_envs.registry import row

ENV_ID = "dto/PlanarPush-v0"


class PlanningAgent:
    """Reads the task from the state observation, plans with everything known, and executes the plan blindly.

    Without forces in the action a finger's target lies inside the object, by as much as makes its spring press with the
    planned force.
    """

    def __init__(self, env_id: str = ENV_ID, method: str = "enumeration", *, feed_forward: bool = False) -> None:
        """Make the agent.

        Args:
            env_id: must be planar pushing.
            method: see :func:`dto_agents.planar.expert.plan`.
            feed_forward: whether the environment takes forces, after the positions.

        Raises:
            ValueError: another environment.
        """
        row(env_id)
        if env_id != ENV_ID:
            raise ValueError(f"this agent plans for {ENV_ID}, not for {env_id}")
        self._method, self._feed_forward = method, feed_forward
        self._chunks: dict[bytes, np.ndarray] = {}

    def reset(self, seeds: Sequence[int]) -> None:
        """Forget the last episodes' plans."""
        self._chunks = {}

    def act(self, observations: Any) -> np.ndarray:
        """Chunks (B, 5, 4), or with forces (B, 5, 8), float32, for state observations (B, 64).

        Raises:
            dto_agents.planar.expert.UnsolvableTaskError: a task that two fingers cannot do.
        """
        return np.stack([self._chunk(state) for state in state_of(observations)])

    def _chunk(self, state: np.ndarray) -> np.ndarray:
        task = read_task(state)
        key = task.digest.encode()
        if key not in self._chunks:
            self._chunks[key] = commands(plan(task, self._method), feed_forward=self._feed_forward)
        return self._chunks[key]


class MiqpAgent(PlanningAgent):
    """The paper's oracle: plans by the mixed-integer program, to a proven gap of 0.1 %."""

    def __init__(self, env_id: str = ENV_ID, *, feed_forward: bool = False) -> None:
        """Make the agent, with forces or without; raises ValueError for another environment than planar pushing."""
        super().__init__(env_id, "highs", feed_forward=feed_forward)


def commands(made: FingerPlan, *, feed_forward: bool = False) -> np.ndarray:
    """Actions (T, 4) that press with a plan's forces by their springs, or (T, 8) that feed them forward; float32."""
    if feed_forward:
        return np.concatenate([made.fingers, made.forces], axis=1).reshape(-1, 8).astype(np.float32)
    return (made.fingers + made.forces / POSITION_STIFFNESS).reshape(-1, 4).astype(np.float32)
