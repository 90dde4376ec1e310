"""LeTO's optimisation layer: from an embedding to a trajectory within position, velocity and acceleration limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dto_envs.actions import ActionLayout
from dto_envs.filters.dto import EPSILON, DTOLayer
from dto_envs.filters.rows import PositionLimit


class LowerTriangularQ(nn.Module):
    """Q = L L' + eps I with a learned lower triangular L (LeTO, section III-C); begins at the identity."""

    def __init__(self, horizon: int, layout: ActionLayout) -> None:
        """A matrix for trajectories of ``horizon`` steps under ``layout``."""
        super().__init__()
        self.horizon, self.dims = horizon, layout.size
        self.entries = nn.Parameter(torch.eye(horizon * layout.size))

    def forward(self, chunk: Tensor) -> Tensor:
        """(B, T, D) to (B, T * D, T * D), one matrix expanded over the batch."""
        if tuple(chunk.shape[1:]) != (self.horizon, self.dims):
            raise ValueError(f"this Q is for chunks (B, {self.horizon}, {self.dims}); got {tuple(chunk.shape)}")
        factor = torch.tril(self.entries)
        q = factor @ factor.T + EPSILON * torch.eye(factor.shape[0], dtype=factor.dtype, device=factor.device)
        return q.expand(chunk.shape[0], -1, -1)


class LeTOLayer(nn.Module):
    """LeTO's differentiable trajectory optimisation layer (LeTO, equations 5 to 9, and section III-D in a rollout).

    Minimises ``1/2 y'Qy - tanh(e)'y + alpha/2 |D S y|^2`` under limits on accelerations (differences of velocity
    commands), on velocities, and on the positions that the velocities integrate to. ``e`` is what an encoder made of
    the observations; the hyperbolic tangent keeps the linear term on the scale of normalised actions.

    Example::

        layer = LeTOLayer(10, layout, velocity=0.5)
        trajectory = layer(embedding)  # training; embedding (B, 10, D)
        trajectory = layer(embedding, previous)  # a rollout

    Called with numpy arrays it works as :class:`DTOLayer` does as an action filter.
    """

    def __init__(
        self,
        horizon: int,
        layout: ActionLayout,
        alpha: float | None = None,
        bound: Any | None = None,
        velocity: Any | None = 1.0,
        position_limit: PositionLimit | None = None,
        best_effort: bool = False,
    ) -> None:
        """A layer for trajectories of ``horizon`` steps; the other arguments as :class:`DTOLayer`'s."""
        super().__init__()
        source = LowerTriangularQ(horizon, layout)
        limits = {"velocity": velocity, "position_limit": position_limit, "best_effort": best_effort}
        self.optimizer = DTOLayer(source, layout, alpha, bound, **limits)

    def forward(self, embedding: Any, previous: Any | None = None, position: Any | None = None) -> Any:
        """From an embedding to a trajectory.

        Args:
            embedding: (B, T, D_a), unbounded.
            previous: (B, D_a) last executed normalised actions, or None.
            position: (B, D_c) current positions in physical units, where positions are limited.

        Returns:
            (B, T, D_a) normalised actions.

        Raises:
            InfeasibleLimitsError: the limits cannot all be met; names limit, dimension and step.
        """
        linear = np.tanh(embedding) if isinstance(embedding, np.ndarray) else torch.tanh(embedding)
        return self.optimizer(linear, previous, position)
