"""Exact Euclidean projection of an action chunk onto the limits: the least change that satisfies all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dto_envs.actions import ActionLayout
from dto_envs.filters.limits import as_float64, check_bound, check_chunk, layout_limits, round_within


class Projection:
    """Euclidean projection onto the difference limits: the box QP with Q = I and no smoothing.

    The dimensions do not interact, so each is solved as a problem of its own. Where a layer learns from demonstrations
    with the demonstrated chunk as input and target, this projection already has the smallest loss there is. Torch
    tensors come back differentiable.
    """

    def __init__(self, layout: ActionLayout, bound: Any | None = None) -> None:
        """Project under ``layout``; ``bound`` as :func:`dto_envs.filters.limits.symmetric_pair`, None = layout's."""
        self.layout = layout
        self.bound = bound
        self.alpha = 0.0
        check_bound(layout, bound)

    def __call__(self, chunk: Any, previous: Any | None = None) -> Any:
        """Filter (B, T, D_a) normalised actions; see :class:`dto_envs.filters.ActionFilter`."""
        if not isinstance(chunk, np.ndarray):
            return self._torch(chunk, previous)
        from dto_envs.filters import boxqp

        wide, last = as_float64(chunk, previous, self.layout.size)
        batch, horizon, _ = wide.shape
        trajectory = list(self.layout.trajectory)
        limits = self._limits(horizon, last is not None)
        lower, upper = (apart(limit[None], batch) for limit in limits)
        metric, wanted = self.metric(horizon), apart(wide[:, :, trajectory], batch)
        solution = boxqp.solve(
            (np.eye(horizon) if metric is None else metric)[None],
            wanted if metric is None else metric @ wanted,
            lower,
            upper,
            alpha=self.alpha,
            trajectory=(0,),
            previous=None if last is None else last[:, trajectory].reshape(-1, 1),
        )
        wide[:, :, trajectory] = solution.actions.reshape(batch, len(trajectory), horizon).transpose(0, 2, 1)
        return round_within(wide, chunk.dtype, *limits, trajectory, last)

    def metric(self, horizon: int) -> np.ndarray | None:
        """W (T, T), positive definite, of the distance ``(y - a)' W (y - a)`` in each dimension; None for Euclid's."""
        return None

    def _torch(self, chunk: Any, previous: Any | None) -> Any:
        import torch

        from dto_envs.filters.boxqp_torch import solve

        last = None if previous is None else torch.as_tensor(previous, dtype=torch.float64, device=chunk.device)
        check_chunk(
            chunk.detach().double().cpu().numpy(),
            None if last is None else last.detach().cpu().numpy(),
            self.layout.size,
        )
        trajectory = list(self.layout.trajectory)
        horizon = chunk.shape[1]
        wanted = chunk[:, :, trajectory].double().transpose(1, 2).reshape(-1, horizon, 1)
        lower, upper = (apart(b[None], chunk.shape[0]) for b in self._limits(horizon, last is not None))
        metric = self.metric(horizon)
        quadratic = torch.as_tensor(np.eye(horizon) if metric is None else metric, device=chunk.device)
        actions = solve(
            quadratic[None],
            wanted if metric is None else quadratic @ wanted,
            torch.as_tensor(lower, device=chunk.device),
            torch.as_tensor(upper, device=chunk.device),
            alpha=self.alpha,
            trajectory=(0,),
            previous=None if last is None else last[:, trajectory].reshape(-1, 1),
        )
        result = chunk.double().clone()
        result[:, :, trajectory] = actions.reshape(chunk.shape[0], len(trajectory), horizon).transpose(1, 2)
        return result.to(chunk.dtype)

    def _limits(self, horizon: int, linked: bool) -> tuple[np.ndarray, np.ndarray]:
        lower, upper = (np.array(limit) for limit in layout_limits(self.layout, self.bound, horizon))
        if not linked:
            lower[0], upper[0] = -np.inf, np.inf
        return lower, upper


def apart(array: np.ndarray, batch: int) -> np.ndarray:
    """(1 or B, T, D_c) as (B * D_c, T, 1): every dimension of every sample a problem of its own."""
    full = np.broadcast_to(array, (batch, *array.shape[1:]))
    return np.ascontiguousarray(full.transpose(0, 2, 1)).reshape(-1, array.shape[1], 1)
