"""Greedy constraint clipping: each action moves from the one before it as far as the limits let it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dto_envs.actions import ActionLayout
from dto_envs.filters.limits import as_float64, check_bound, check_chunk, layout_limits, round_within


class Clipping:
    """Greedy constraint clipping (DiffOG, appendix A.1).

    Starting at the last executed action, every step clips its difference to the step before and goes on from what
    came out. Without a previous action the first action is free. Torch tensors come back differentiable.

    Example::

        clip = Clipping(layout)
        smooth = clip(chunk, previous)  # (B, T, D_a)
    """

    def __init__(self, layout: ActionLayout, bound: Any | None = None) -> None:
        """Clip under ``layout``; ``bound`` as :func:`dto_envs.filters.limits.symmetric_pair`, None = the layout's."""
        self.layout = layout
        self.bound = bound
        check_bound(layout, bound)

    def __call__(self, chunk: Any, previous: Any | None = None) -> Any:
        """Filter (B, T, D_a) normalised actions; see :class:`dto_envs.filters.ActionFilter`."""
        if isinstance(chunk, np.ndarray):
            wide, last = as_float64(chunk, previous, self.layout.size)
            lower, upper = layout_limits(self.layout, self.bound, chunk.shape[1])
            actions = self._clip(wide, last, lower, upper, np.clip, np.stack, wide.copy())
            return round_within(actions, chunk.dtype, lower, upper, self.layout.trajectory, last)
        return self._torch(chunk, previous)

    def _torch(self, chunk: Any, previous: Any | None) -> Any:
        import torch

        wide = chunk.double()
        last = None if previous is None else torch.as_tensor(previous, dtype=torch.float64, device=chunk.device)
        check_chunk(
            wide.detach().cpu().numpy(), None if last is None else last.detach().cpu().numpy(), self.layout.size
        )
        limits = layout_limits(self.layout, self.bound, chunk.shape[1])
        lower, upper = (torch.as_tensor(np.ascontiguousarray(limit), device=chunk.device) for limit in limits)
        return self._clip(wide, last, lower, upper, torch.clamp, torch.stack, wide.clone()).to(chunk.dtype)

    def _clip(
        self, chunk: Any, previous: Any | None, lower: Any, upper: Any, clip: Any, stack: Any, result: Any
    ) -> Any:
        trajectory = list(self.layout.trajectory)
        wanted = chunk[:, :, trajectory]
        last = wanted[:, 0] if previous is None else previous[:, trajectory]
        steps = []
        for t in range(chunk.shape[1]):
            free = t == 0 and previous is None
            last = wanted[:, 0] if free else last + clip(wanted[:, t] - last, lower[t], upper[t])
            steps.append(last)
        result[:, :, trajectory] = stack(steps, 1)
        return result
