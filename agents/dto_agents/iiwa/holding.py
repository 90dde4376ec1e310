"""The agent ``hold`` of the iiwa: torque commands stand still when they carry the arm's weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dto_agents.simple import state_of
from dto_envs.iiwa.env import ANGLES
from dto_envs.iiwa.model import holding_torque


class GravityAgent:
    """Compensates gravity wherever the arm is, so that it stays where it began."""

    def reset(self, seeds: Sequence[int]) -> None:
        """Nothing to remember."""

    def act(self, observations: Any) -> np.ndarray:
        """One torque per episode, (B, 7) float32 in Nm."""
        return np.array([holding_torque(angles) for angles in state_of(observations)[:, ANGLES]], dtype=np.float32)
