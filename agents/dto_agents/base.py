"""What an agent is, and how a base agent and an action filter become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from dto_envs.actions import ActionLayout
from dto_envs.filters.base import ActionFilter
from dto_envs.filters.phased import PhasedFilter


class Agent(Protocol):
    """A batched policy: row ``b`` of every array belongs to episode ``b`` of the shard.

    An agent may carry two integers that default as given: ``n_obs_steps`` (absent: ``act`` sees the current observation
    only) and ``n_action_steps`` (absent: the whole chunk is executed before ``act`` is called again). An episode's
    actions must depend on its own observations and seed alone, never on its neighbours.
    """

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed; all randomness of episode ``b`` comes from ``seeds[b]``."""
        ...

    def act(self, observations: Any) -> np.ndarray:
        """Choose actions.

        Args:
            observations: (B, *obs_shape), or (B, n_obs_steps, *obs_shape), oldest first, where ``n_obs_steps`` is
                set; the first observation is repeated at the start of an episode. Rows whose episode is over repeat
                their last observation. For a dictionary space, a dictionary of such arrays.

        Returns:
            (B, T, D_a) in the environment's action units, or (B, D_a) for a single action.
        """
        ...


def action_chunk(actions: np.ndarray) -> np.ndarray:
    """Give single actions (B, D_a) the time axis of a chunk (B, 1, D_a); chunks pass."""
    return actions[:, None, :] if actions.ndim == 2 else actions


class FilteredAgent:
    """A base agent whose chunks pass through an action filter, linked to the last action that was executed.

    Actions are rounded to float32 before they are executed and remembered, as environments take them.
    """

    def __init__(
        self, base: Agent, action_filter: ActionFilter | PhasedFilter, layout: ActionLayout, *, from_rest: bool = False
    ) -> None:
        """Compose ``base`` with ``action_filter`` under ``layout``; the base's step counts become this agent's.

        With ``from_rest`` the first action is linked to a standstill; without, it is free.
        """
        self.base = base
        self.action_filter = action_filter
        self.layout = layout
        self.from_rest = from_rest
        self._previous: np.ndarray | None = None
        self._step = 0
        for name in ("n_obs_steps", "n_action_steps"):
            if hasattr(base, name):
                setattr(self, name, getattr(base, name))

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin new episodes: the base is reset and no action has been executed."""
        self.base.reset(seeds)
        rest = np.zeros((len(seeds), self.layout.size))
        self._previous = self.layout.normalize(rest) if self.from_rest else None
        self._step = 0

    def act(self, observations: Any) -> np.ndarray:
        """The base's chunk after the filter, float32, in the environment's action units."""
        return self.apply(action_chunk(self.base.act(observations)))

    def apply(self, chunk: np.ndarray) -> np.ndarray:
        """Filter a chunk (B, T, D_a) in environment units and remember the action that will be executed last."""
        normalized = self.layout.normalize(np.asarray(chunk, dtype=np.float64))
        action_filter = self.action_filter
        if isinstance(action_filter, PhasedFilter):
            action_filter = action_filter.at(self._step, chunk.shape[1])
        filtered = np.asarray(action_filter(normalized, self._previous))
        actions = self.layout.denormalize(filtered).astype(np.float32)
        executed = min(getattr(self, "n_action_steps", actions.shape[1]), actions.shape[1])
        self._previous = self.layout.normalize(actions[:, executed - 1].astype(np.float64))
        self._step += executed
        return actions
