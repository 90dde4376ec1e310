"""Agents without weights that every board needs as a reference: uniformly random, and a robot that stands still."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from dto_envs.registry import row

# Where the commanded position stands in the state observation, for tasks whose actions are positions.
_POSITION_IN_STATE: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "dto/PushT-v0": (0, 1),
        "dto/PlanarPush-v0": (0, 1, 2, 3),
        **{f"dto/Aloha{task}-v0": tuple(range(14)) for task in ("TransferCube", "Insertion", "ArrangeDesk")},
        "dto/AlohaMoveStack-v0": tuple(range(7)),
    }
)

# Tasks whose actions are neither velocities nor positions, and where zeros leave a robot alone: these cars coast.
_IDLE_AT_ZERO = frozenset(f"dto/RCCar{task}-v0" for task in ("Parking", "Reverse", "DriftTurn", "Race"))


def state_of(observations: Any) -> np.ndarray:
    """The state part of a batch of observations: the array itself, or the entry ``"state"`` of a dictionary.

    Raises:
        ValueError: a dictionary without a state, as ``obs_type="image"`` gives.
    """
    if not isinstance(observations, Mapping):
        return np.asarray(observations)
    if "state" not in observations:
        raise ValueError("this agent reads the state; make the environment with obs_type 'state' or 'state_image'")
    return np.asarray(observations["state"])


def states_like(expected: tuple[int, ...], observations: Any) -> np.ndarray:
    """The states of a batch of observations, as :func:`state_of`, for a policy that takes no other shape.

    Raises:
        ValueError: no state, or one of another shape than ``expected``: episodes of the last reset, histories, numbers.
    """
    states = state_of(observations)
    if states.shape != expected:
        raise ValueError(f"observations have shape {states.shape}; this policy was reset and trained for {expected}")
    return states


class RandomAgent:
    """Draws every action uniformly from the layout's range, ``low`` to ``high``, with one generator per episode."""

    def __init__(self, env_id: str) -> None:
        """Random actions for ``env_id``."""
        layout = row(env_id).layout
        self._low, self._high = np.asarray(layout.low), np.asarray(layout.high)
        self._generators: list[np.random.Generator] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self._generators = [np.random.default_rng(seed) for seed in seeds]

    def act(self, observations: Any) -> np.ndarray:
        """One action per episode, (B, D_a) float32 in environment units; the observations are ignored."""
        return np.stack([g.uniform(self._low, self._high) for g in self._generators]).astype(np.float32)


class HoldAgent:
    """Stands still: a zero velocity, or the position where the controlled point already is; a car coasts."""

    def __init__(self, env_id: str) -> None:
        """A still robot in ``env_id``.

        Raises:
            ValueError: the task's actions are positions and its observation does not tell the current one.
        """
        self._layout = row(env_id).layout
        self._position = _POSITION_IN_STATE.get(env_id)
        if self._layout.difference == "velocity" and self._position is None and env_id not in _IDLE_AT_ZERO:
            raise ValueError(f"'hold' does not know where {env_id} observes the commanded position")

    def reset(self, seeds: Sequence[int]) -> None:
        """Nothing to remember."""

    def act(self, observations: Any) -> np.ndarray:
        """One action per episode, (B, D_a) float32 in environment units."""
        state = state_of(observations)
        if self._position is not None:
            return state[:, self._position].astype(np.float32)
        return np.zeros((len(state), self._layout.size), dtype=np.float32)
