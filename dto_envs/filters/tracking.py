"""Projection by where the motion leads: the nearest chunk within the limits in its commands and in its positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dto_envs.actions import ActionLayout
from dto_envs.filters.projection import Projection

WEIGHT = 1.0


class Tracking(Projection):
    """Projection that also weighs how far the positions stray to which velocity commands add up.

    In each dimension it minimises, under the limits on the differences,

        1/2 sum_k (y_k - a_k)^2 + weight/2 sum_k (sum_{j <= k} (y_j - a_j))^2 + alpha/2 sum_k (y_k - y_{k-1})^2

    A velocity that a limit cuts off is thus made up for by the steps around it, while a projection in the commands
    alone arrives elsewhere. This is ours, not a paper's; it learns nothing. Where commands are positions already
    (``layout.difference`` is "velocity"), their own error is the whole distance, and this is static Q.
    """

    def __init__(
        self, layout: ActionLayout, bound: Any | None = None, alpha: float | None = None, weight: float = WEIGHT
    ) -> None:
        """Project under ``layout``.

        Args:
            layout: what the actions mean.
            bound: as :func:`dto_envs.filters.limits.symmetric_pair`, None for the layout's.
            alpha: smoothing weight on the differences within a chunk; None for the layout's.
            weight: of the summed errors of velocity commands, in steps, beside those of the commands.

        Raises:
            ValueError: a weight that is negative or not finite.
        """
        super().__init__(layout, bound)
        alpha = layout.alpha if alpha is None else alpha
        for name, value in (("alpha", alpha), ("weight", weight)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a finite number >= 0, but is {value!r}")
        self.alpha = float(alpha)
        self.weight = float(weight) if layout.difference == "acceleration" else 0.0

    def metric(self, horizon: int) -> np.ndarray | None:
        """W (T, T): the identity, plus the weighted square of the cumulative sum."""
        if self.weight == 0:
            return None
        summed = np.tril(np.ones((horizon, horizon)))
        return np.eye(horizon) + self.weight * summed.T @ summed
