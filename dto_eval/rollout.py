"""Play one shard: a batch of environments in lockstep with one agent, up to the end of every episode."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from dto_agents.base import Agent, FilteredAgent, action_chunk
from dto_envs.smoothness import VIOLATION_TOLERANCE, Bound, trajectory_metrics
from dto_envs.wrappers import set_drawing
from dto_eval.records import Episode
from dto_eval.shards import Shard, agent_seed


class AgentError(Exception):
    """An agent broke its contract; the message says how."""


@dataclass(frozen=True)
class Rollout:
    """A finished episode with its actions.

    Attributes:
        episode: the record.
        actions: (steps, D_a) float32, as commanded, in the environment's action units.
        proposed: (steps, D_a) float32, what the base policy proposed for the same steps before the filter; None
            where the agent has no filter.
        n_action_steps: number of actions that were executed of every chunk.
    """

    episode: Episode
    actions: np.ndarray
    proposed: np.ndarray | None
    n_action_steps: int


class Environments:
    """Copies of one environment in this process, built when first needed and used again by every later shard."""

    def __init__(self, env_spec: str, **options: Any) -> None:
        """Remember the serialised Gymnasium spec ``env_spec``, to be built with ``options``; builds nothing yet."""
        self._spec = EnvSpec.from_json(env_spec)
        self._options = options
        self._built: list[gymnasium.Env] = []

    def take(self, count: int) -> list[gymnasium.Env]:
        """The first ``count`` copies."""
        while len(self._built) < count:
            self._built.append(gymnasium.make(self._spec, **self._options))
        return self._built[:count]

    def close(self) -> None:
        """Close all copies."""
        for env in self._built:
            env.close()
        self._built.clear()


class Clock:
    """Mean milliseconds of the policy and of the filter, over the calls so far."""

    def __init__(self) -> None:
        """Start the clock of a shard."""
        self.start = time.perf_counter()
        self.calls = 0
        self.policy = 0.0
        self.filter = 0.0

    def add(self, policy: float, filter_: float) -> None:
        """Add one batched call that took ``policy`` and ``filter_`` seconds."""
        self.calls += 1
        self.policy += policy
        self.filter += filter_

    def timings(self) -> dict[str, float]:
        """The timing fields of a record that ends now."""
        return {
            "policy_ms": round(1e3 * self.policy / max(self.calls, 1), 4),
            "filter_ms": round(1e3 * self.filter / max(self.calls, 1), 4),
            "wall_s": round(time.perf_counter() - self.start, 4),
        }


class Row:
    """One episode while it runs: its environment, its latest observations and what has been commanded."""

    def __init__(self, env: gymnasium.Env, init: int, n_obs_steps: int) -> None:
        """Reset ``env`` with the seed ``init``."""
        observation, info = env.reset(seed=init)
        self.env = env
        self.init = init
        self.init_hash: str = info["init_hash"]
        self.history = [observation] * n_obs_steps
        self.actions: list[np.ndarray] = []
        self.proposed: list[np.ndarray] = []
        self.success = False
        self.success_once = False
        self.score = 0.0
        self.cost: float | None = None
        self.over = False
        self._dtype = env.action_space.dtype
        # A wrapper inside may look at every image.
        self._draws_all = env.spec is not None and bool(env.spec.additional_wrappers)

    def execute(self, actions: np.ndarray, proposed: np.ndarray | None) -> None:
        """Step through ``actions`` (n, D_a) until they are used up or the episode ends.

        Images are drawn of the last ``n_obs_steps`` steps only, which are those that the agent will look at.
        """
        for index, action in enumerate(actions):
            set_drawing(self.env, self._draws_all or len(actions) - index <= len(self.history))
            observation, _, terminated, truncated, info = self.env.step(action.astype(self._dtype))
            self.actions.append(action)
            if proposed is not None:
                self.proposed.append(proposed[index])
            self.history.append(observation)
            del self.history[0]
            self.success = bool(info["success"])
            self.success_once = self.success_once or self.success
            self.score = float(info["score"])
            self.cost = float(info["cost"]) if "cost" in info else None
            if terminated or truncated:
                self.over = True
                return


def play(
    shard: Shard, agent: Agent, environments: Environments, *, run_seed: int, bound: Bound | None = None
) -> Iterator[Rollout]:
    """Play a shard's episodes and yield each as it ends.

    The agent is asked for a chunk for all rows at once, executes ``n_action_steps`` of it (the whole chunk where it
    sets none), and is asked again until the last episode is over. Rows whose episode is over keep their last
    observation and are not stepped. Actions are executed and recorded as float32, unclipped: what an environment does
    with commands beyond its range is its own affair.

    Args:
        shard: which member and inits.
        agent: the agent of that member.
        environments: where to take one environment per init from.
        run_seed: seed of the agents' randomness.
        bound: what a filter was told to keep the normalised first differences within, None for the layout's bound;
            by how much it fell short becomes ``filter_unresolved``.

    Raises:
        AgentError: the agent returns something other than finite actions (B, D_a) or (B, T, D_a).
    """
    clock = Clock()
    agent.reset([agent_seed(run_seed, init) for init in shard.inits])
    n_obs_steps = getattr(agent, "n_obs_steps", None)
    envs = environments.take(len(shard.inits))
    rows = [Row(env, init, n_obs_steps or 1) for env, init in zip(envs, shard.inits, strict=True)]
    running = list(enumerate(rows))
    while running:
        chunk, proposed = _act(agent, _observations(rows, n_obs_steps), clock, envs[0].action_space)
        for index, row in running:
            row.execute(chunk[index], None if proposed is None else proposed[index])
            if row.over:
                yield _finish(row, shard, clock, _unresolved(row, agent, bound), chunk.shape[1])
        running = [(index, row) for index, row in running if not row.over]


def _observations(rows: list[Row], n_obs_steps: int | None) -> Any:
    """The agent's view: (B, *obs_shape), or (B, n_obs_steps, *obs_shape); dictionaries of those for dictionaries."""

    def stack(histories: list[list[np.ndarray]]) -> np.ndarray:
        return np.array([history[-1] for history in histories] if n_obs_steps is None else histories)

    first = rows[0].history[-1]
    if isinstance(first, dict):
        return {key: stack([[step[key] for step in row.history] for row in rows]) for key in first}
    return stack([row.history for row in rows])


def _act(agent: Agent, observations: Any, clock: Clock, space: gymnasium.Space) -> tuple[np.ndarray, np.ndarray | None]:
    """The actions to execute now (B, n, D_a) and what the base proposed for them, both float32; times both halves."""
    n_action_steps = getattr(agent, "n_action_steps", None)
    batch = len(next(iter(observations.values())) if isinstance(observations, dict) else observations)
    start = time.perf_counter()
    if isinstance(agent, FilteredAgent):
        proposed = _checked(agent.base.act(observations), batch, space, n_action_steps)
        middle = time.perf_counter()
        chunk = agent.apply(proposed)
        clock.add(middle - start, time.perf_counter() - middle)
        proposed = np.asarray(proposed[:, :n_action_steps], dtype=np.float32)
    else:
        chunk, proposed = agent.act(observations), None
        clock.add(time.perf_counter() - start, 0.0)
    chunk = _checked(chunk, batch, space, n_action_steps)[:, :n_action_steps]
    return np.asarray(chunk, dtype=np.float32), proposed


def _checked(actions: Any, batch: int, space: gymnasium.Space, n_action_steps: int | None) -> np.ndarray:
    """``actions`` as a chunk (B, T, D_a), or an :class:`AgentError` that says what is wrong with them."""
    actions = np.asarray(actions)
    assert space.shape is not None
    expected = f"({batch}, {space.shape[0]}) or ({batch}, T, {space.shape[0]})"
    if actions.ndim not in (2, 3) or len(actions) != batch or actions.shape[-1] != space.shape[0]:
        raise AgentError(f"the agent returned actions of shape {actions.shape}; expected {expected}")
    chunk = action_chunk(actions)
    if chunk.shape[1] < (n_action_steps or 1):
        raise AgentError(f"the agent returned {chunk.shape[1]} actions but says n_action_steps = {n_action_steps}")
    if not np.isfinite(chunk).all():
        row, step, dimension = np.argwhere(~np.isfinite(chunk))[0]
        raise AgentError(f"the agent returned {chunk[row, step, dimension]} (row {row}, step {step}, dim {dimension})")
    return chunk


def _unresolved(row: Row, agent: Agent, bound: Bound | None) -> float:
    """Largest excess of the executed differences over the filter's limits; 0 where it is rounding or no filter is."""
    if not isinstance(agent, FilteredAgent):
        return 0.0
    excess = trajectory_metrics(np.stack(row.actions), agent.layout, bound=bound).max_violation
    return excess if excess > VIOLATION_TOLERANCE else 0.0


def _finish(row: Row, shard: Shard, clock: Clock, unresolved: float, n_action_steps: int) -> Rollout:
    """The record and the actions of an episode that is over."""
    actions = np.stack(row.actions)
    episode = Episode(
        member=shard.member,
        init=row.init,
        shard=shard.index,
        init_hash=row.init_hash,
        steps=len(actions),
        success_once=row.success_once,
        success_at_end=row.success,
        score=min(max(row.score, 0.0), 1.0),
        cost=row.cost,
        actions_sha256=actions_digest(actions),
        filter_unresolved=unresolved,
        **clock.timings(),
    )
    proposed = np.stack(row.proposed) if row.proposed else None
    return Rollout(episode, actions, proposed, n_action_steps)


def actions_digest(actions: np.ndarray) -> str:
    """SHA-256 of actions (T, D_a) as little-endian float32 in C order."""
    return hashlib.sha256(np.ascontiguousarray(actions, dtype="<f4").tobytes()).hexdigest()
