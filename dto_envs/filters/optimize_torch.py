"""The torch half of :func:`dto_envs.filters.optimize_trajectory`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dto_envs.filters import boxqp_torch
from dto_envs.filters.limits import check_chunk, step_limits
from dto_envs.filters.optimize import check_problem


def optimize(
    actions: Tensor,
    q: Any,
    lower: Any,
    upper: Any,
    alpha: float,
    trajectory_dims: Sequence[int],
    previous: Any | None,
    solver: str,
) -> Tensor:
    """Arguments and errors as :func:`dto_envs.filters.optimize_trajectory`, for tensors on any device."""
    device = actions.device
    forms, low, high = (torch.as_tensor(value, dtype=torch.float64, device=device) for value in (q, lower, upper))
    last = None if previous is None else torch.as_tensor(previous, dtype=torch.float64, device=device)
    wide = actions.double()
    check_chunk(_array(wide), None if last is None else _array(last))
    trajectory = check_problem(tuple(wide.shape), _array(forms), alpha, trajectory_dims)
    shape = (wide.shape[0], wide.shape[1], len(trajectory))
    checked = step_limits(_array(low), _array(high), shape, last is not None)
    forms = forms.reshape(-1, *forms.shape[-2:])
    limits = [_like(tensor, array, shape) for tensor, array in zip((low, high), checked, strict=True)]
    options: dict[str, Any] = {"alpha": float(alpha), "trajectory": trajectory, "previous": last}
    if solver in ("auto", "boxqp"):
        return boxqp_torch.solve(forms, wide, *limits, **options).to(actions.dtype)
    from dto_envs.filters import reference_torch

    return getattr(reference_torch, f"solve_{solver}_torch")(forms, wide, *limits, **options).to(actions.dtype)


def _like(tensor: Tensor, array: np.ndarray, shape: tuple[int, int, int]) -> Tensor:
    """The checked limits as a tensor; where gradients are wanted, the caller's own tensor broadcast to them."""
    fixed = torch.as_tensor(np.ascontiguousarray(array), device=tensor.device)
    if not tensor.requires_grad:
        return fixed
    steps = (
        tensor if tensor.ndim < 2 or tensor.shape[-2] != shape[1] - 1 else torch.nn.functional.pad(tensor, (0, 0, 1, 0))
    )
    return torch.where(torch.isinf(fixed), fixed, steps.expand(array.shape))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
