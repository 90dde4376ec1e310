"""Agents of the iiwa's reaching: learned controllers, and the optimum itself, replayed with and without feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dto_agents import zoo
from dto_agents.iiwa.lqr import goal_regulator
from dto_agents.iiwa.qrnet import Ensemble, Policy
from dto_agents.iiwa.trajectory import OptimalTrajectory
from dto_agents.iiwa.weights import pack, unpack
from dto_agents.simple import state_of
from dto_envs.filters.dto import NETWORK_BATCH
from dto_envs.iiwa.constants import CONTROL_PERIOD, TORQUE_LIMITS
from dto_envs.iiwa.env import ELAPSED, STATE
from dto_envs.iiwa.model import goal_torque

ENV_ID = "dto/IiwaReach-v0"
LEARNED = ("iiwa-qrnet", "iiwa-qrnet-wide", "iiwa-mlp")


class NetworkAgent:
    """A learned controller, alone or an ensemble's mean; it sees the state and nothing else."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        """Act with the mean of ``policies``."""
        self._ensemble = Ensemble(policies)

    def reset(self, seeds: Sequence[int]) -> None:
        """Nothing to remember."""

    def act(self, observations: Any) -> np.ndarray:
        """One torque per episode, (B, 7) float32 in Nm; networks see batches of one size, whatever B."""
        states = state_of(observations)[:, STATE]
        torques = np.empty((len(states), len(TORQUE_LIMITS)))
        for begin in range(0, len(states), NETWORK_BATCH):
            part = states[begin : begin + NETWORK_BATCH]
            padded = np.zeros((NETWORK_BATCH, part.shape[1]))
            padded[: len(part)] = part
            torques[begin : begin + len(part)] = self._ensemble.torques(padded)[: len(part)]
        return _clipped(torques)


class OptimalAgent:
    """Solves the optimal control problem of every start and replays the optimum, with DDP's time-varying gains.

    After the optimum's end, and where a start has no optimum, the LQR of the goal takes over: with its shortest time,
    and with the time it thinks best.
    """

    feedback = True

    def __init__(self, env_id: str = ENV_ID) -> None:
        """An agent for ``env_id``.

        Raises:
            ValueError: another environment.
            dto_envs.registry.MissingExtraError: Crocoddyl is not installed.
        """
        from dto_agents.iiwa.solver import OpenLoopSolver

        _check(type(self).__name__, env_id)
        self._solver = OpenLoopSolver()
        self._optima: list[OptimalTrajectory | None] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """Forget the optima; new ones are found from the first observations."""
        self._optima = [None] * len(seeds)

    def act(self, observations: Any) -> np.ndarray:
        """One torque per episode, (B, 7) float32 in Nm."""
        observed = state_of(observations)
        rows = zip(observed[:, STATE], observed[:, ELAPSED], strict=True)
        return _clipped(np.stack([self._torque(row, state, time) for row, (state, time) in enumerate(rows)]))

    def _torque(self, row: int, state: np.ndarray, time: float) -> np.ndarray:
        optimum = self._optima[row]
        if optimum is None:
            optimum = self._optima[row] = self._solver.solve(state)
        regulator, step = goal_regulator(), round(time / CONTROL_PERIOD)
        if not optimum.solved:
            return regulator.torque(state[None], regulator.best_time(state[None]))[0]
        if step < len(optimum.torques):
            deviation = state - optimum.states[step]
            return optimum.torques[step] - (optimum.gains[step] @ deviation if self.feedback else 0.0)
        return regulator.torque(state[None], np.zeros(1))[0] if self.feedback else goal_torque()


class ReplayAgent(OptimalAgent):
    """The optimum replayed open loop: its torques whatever the state; then the torque that holds the goal."""

    feedback = False


def load_agent(agent: str, entry: zoo.Entry, env_id: str) -> NetworkAgent:
    """A learned agent of the zoo; raises ValueError for another environment than the iiwa's reaching."""
    _check(agent, env_id)
    description, tensors = zoo.read(entry.path, agent)
    return NetworkAgent(unpack(tensors, description))


def write_agent(name: str, seed: int, policies: Sequence[Policy], card: Mapping[str, Any], root: Path) -> Path:
    """Write an agent's policies into a zoo, float16, with a card; returns the weights file.

    Args:
        name: one of :data:`LEARNED`.
        seed: training seed.
        policies: whose mean acts.
        card: what the card says about training: ``steps``, ``recipe``, ``data``.
        root: of the zoo.

    Raises:
        FileExistsError: that member is trained already.
    """
    path = zoo.claim(name, ENV_ID, seed, root)
    tensors, description = pack(policies)
    count = sum(value.numel() for value in tensors.values())
    made = zoo.make_card(name, ENV_ID, seed, recipe=dict(card["recipe"]), data=dict(card["data"]), parameters=count)
    zoo.write(path, tensors, {"kind": name, "env_id": ENV_ID, **description}, made)
    return path


def _check(name: str, env_id: str) -> None:
    if env_id != ENV_ID:
        raise ValueError(f"{name} acts in {ENV_ID} only, not in {env_id}")


def _clipped(torques: np.ndarray) -> np.ndarray:
    limits = np.array(TORQUE_LIMITS)
    return np.clip(torques, -limits, limits).astype(np.float32)
