"""Penalty-based trajectory optimisation: descend on the violations of the limits until little is left of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dto_envs.actions import ActionLayout, PenaltyParameters
from dto_envs.filters.limits import as_float64, check_bound, check_chunk, layout_limits


class Penalty:
    """Penalty-based trajectory optimisation (DiffOG, appendix A.2, parameters of Table XI).

    Starting at the input, every iteration moves ``c_t`` against the violation of the limit on ``c_t - c_{t-1}``:
    ``c <- c - eta (v_max - v_min)``, until ``|v_max| + |v_min|`` (Euclidean norms over a chunk) falls below the
    tolerance or the iteration limit is reached. It may stop short of the limits;
    :func:`dto_envs.filters.limits.violation` of the result says by how much. Each sample stops on its own, so that
    its result does not depend on the batch. Torch tensors come back differentiable, through every iteration.
    """

    def __init__(
        self, layout: ActionLayout, bound: Any | None = None, parameters: PenaltyParameters | None = None
    ) -> None:
        """Optimise under ``layout``.

        Args:
            layout: names the trajectory dimensions; brings the bound and the parameters where none are given.
            bound: see :func:`dto_envs.filters.limits.symmetric_pair`; None for the layout's.
            parameters: step size, tolerance and iteration limit; None for the layout's.
        """
        self.layout = layout
        self.bound = bound
        self.parameters = layout.penalty if parameters is None else parameters
        if not 0 < self.parameters.step_size <= 1:
            raise ValueError(f"the penalty's step size lies in (0, 1]; got {self.parameters.step_size}")
        check_bound(layout, bound)

    def __call__(self, chunk: Any, previous: Any | None = None) -> Any:
        """Filter (B, T, D_a) normalised actions; see :class:`dto_envs.filters.ActionFilter`."""
        if not isinstance(chunk, np.ndarray):
            return self._torch(chunk, previous)
        from dto_envs.filters.penalty_kernel import descend

        wide, last = as_float64(chunk, previous, self.layout.size)
        trajectory = list(self.layout.trajectory)
        lower, upper = layout_limits(self.layout, self.bound, wide.shape[1])
        steps = np.ascontiguousarray(wide[:, :, trajectory])
        start = steps[:, 0].copy() if last is None else np.ascontiguousarray(last[:, trajectory])
        lower, upper = np.array(lower, order="C"), np.array(upper, order="C")
        if steps.size:
            eta, tolerance = self.parameters.step_size, self.parameters.tolerance
            descend(steps, start, last is not None, lower, upper, eta, tolerance, self.parameters.max_iterations)
        wide[:, :, trajectory] = steps
        return wide.astype(chunk.dtype if np.issubdtype(chunk.dtype, np.floating) else np.float64)

    def _torch(self, chunk: Any, previous: Any | None) -> Any:
        import torch

        wide = chunk.double()
        last = None if previous is None else torch.as_tensor(previous, dtype=torch.float64, device=chunk.device)
        check_chunk(
            wide.detach().cpu().numpy(), None if last is None else last.detach().cpu().numpy(), self.layout.size
        )
        trajectory = list(self.layout.trajectory)
        limits = layout_limits(self.layout, self.bound, chunk.shape[1])
        lower, upper = (torch.as_tensor(np.ascontiguousarray(limit), device=chunk.device) for limit in limits)
        steps = wide[:, :, trajectory]
        for _ in range(self.parameters.max_iterations):
            start = steps[:, :1] if last is None else last[:, None, trajectory]
            differences = torch.diff(steps, dim=1, prepend=start)
            above, below = torch.relu(differences - upper), torch.relu(lower - differences)
            if last is None:
                above, below = (torch.cat([torch.zeros_like(v[:, :1]), v[:, 1:]], dim=1) for v in (above, below))
            left = above.detach().norm(dim=(1, 2)) + below.detach().norm(dim=(1, 2))
            going = left >= self.parameters.tolerance
            if not going.any():
                break
            steps = steps - self.parameters.step_size * going[:, None, None] * (above - below)
        result = wide.clone()
        result[:, :, trajectory] = steps
        return result.to(chunk.dtype)
