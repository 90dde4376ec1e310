"""Trajectory optimisation as a differentiable box QP, for torch tensors on any device.

The same problem as :mod:`dto_envs.filters.boxqp`. Tensors on a CPU go through its compiled loop, or where gradients are
wanted and the batch shares one Q through :mod:`dto_envs.filters.boxqp_shared`; on other devices (or with
``backend="torch"``) the whole batch is solved at once, a sample that has converged standing still. The gradient is
one solve with the free block of the Hessian; it exists by Q, the linear term, the previous action and the limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dto_envs.filters import boxqp, boxqp_shared
from dto_envs.filters.boxqp_batched import backward_batched, solve_batched

Backend = Literal["auto", "compiled", "torch"]


def solve(
    q: Tensor,
    linear: Tensor,
    lower: Tensor,
    upper: Tensor,
    *,
    alpha: float,
    trajectory: Sequence[int],
    previous: Tensor | None = None,
    start: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Solve a batch of trajectory problems in float64; problem and errors as in :func:`dto_envs.filters.boxqp.solve`.

    Args:
        q: (B or 1, T * D, T * D), or a view expanded from one matrix; its gradient is symmetric.
        linear: (B, T, D), the ``a`` of the objective.
        lower: (B or 1, T, D_c); step 0 must be infinite where ``previous`` is None.
        upper: likewise.
        alpha: smoothing weight.
        trajectory: indices of the D_c trajectory dimensions.
        previous: (B, D) last executed actions, or None.
        start: (B, T, D) actions near which the search begins; None for ``linear``.
        backend: "compiled" (CPU tensors only), "torch" (any device), or "auto" to choose by the device.

    Returns:
        (B, T, D) float64 actions.
    """
    if backend == "auto":
        backend = "compiled" if linear.device.type == "cpu" else "torch"
    if q.shape[0] > 1 and q.stride(0) == 0:
        q = q[:1]
    q, linear, lower, upper = (tensor.double() for tensor in (q, linear, lower, upper))
    last = None if previous is None else previous.double()
    begin = (linear if start is None else start).detach().double()
    return _BoxQP.apply(q, linear, lower, upper, last, begin, float(alpha), tuple(trajectory), backend)  # type: ignore


class _BoxQP(torch.autograd.Function):
    """Optimal actions as a function of Q, the linear term, the limits and the previous action."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        linear: Tensor,
        lower: Tensor,
        upper: Tensor,
        previous: Tensor | None,
        start: Tensor,
        alpha: float,
        trajectory: tuple[int, ...],
        backend: str,
    ) -> Tensor:
        inverse = None
        if backend == "compiled":
            arrays = [None if t is None else _numpy(t) for t in (q, linear, lower, upper, previous, start)]
            options: dict[str, Any] = {"previous": arrays[4], "start": arrays[5], "alpha": alpha}
            options["trajectory"] = trajectory
            if any(ctx.needs_input_grad) and q.shape[0] == lower.shape[0] == upper.shape[0] == 1:
                solution, inverse = boxqp_shared.solve(*arrays[:4], **options)  # type: ignore[arg-type]
            else:
                solution = boxqp.solve(*arrays[:4], **options, threads=torch.get_num_threads())  # type: ignore[arg-type]
            actions, active = torch.from_numpy(solution.actions), torch.from_numpy(solution.active)
        else:
            actions, active = solve_batched(q, linear, lower, upper, alpha, trajectory, previous, start)
        ctx.save_for_backward(q, actions, active)
        ctx.alpha, ctx.trajectory, ctx.backend, ctx.inverse = alpha, trajectory, backend, inverse
        ctx.limit_shapes = (lower.shape, upper.shape)
        return actions

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple:  # type: ignore[override]
        (cotangent,) = cotangents
        q, actions, active = ctx.saved_tensors
        trajectory = list(ctx.trajectory)
        if ctx.inverse is not None:
            arrays = boxqp_shared.backward(ctx.inverse, active.numpy(), _numpy(cotangent), trajectory)
            adjoint, held = (torch.from_numpy(array) for array in arrays)
        elif ctx.backend == "compiled":
            options = {"alpha": ctx.alpha, "trajectory": trajectory, "threads": torch.get_num_threads()}
            arrays = boxqp.backward(_numpy(q), active.numpy(), _numpy(cotangent), **options)
            adjoint, held = (torch.from_numpy(array) for array in arrays)
        else:
            adjoint, held = backward_batched(q, active, cotangent, ctx.alpha, trajectory)
        by_q = _gradient_by_q(adjoint, actions, q.shape[0]) if ctx.needs_input_grad[0] else None
        by_limits = [
            _sum_to(torch.where(active == side, held, 0.0)[:, :, trajectory], shape) if needed else None
            for side, shape, needed in zip((-1, 1), ctx.limit_shapes, ctx.needs_input_grad[2:4], strict=True)
        ]
        by_previous = None
        if ctx.needs_input_grad[4]:
            symmetric = 0.5 * (q + q.mT)
            pull = (symmetric @ adjoint.flatten(1)[:, :, None]).reshape(adjoint.shape)
            by_previous = torch.zeros_like(cotangent[:, 0])
            by_previous[:, trajectory] = (cotangent - pull).sum(1)[:, trajectory]
        return by_q, adjoint, *by_limits, by_previous, None, None, None, None


def _gradient_by_q(adjoint: Tensor, actions: Tensor, matrices: int) -> Tensor:
    """-(v y' + y v') / 2 of every sample, or their sum where one Q serves all."""
    v, y = adjoint.flatten(1), actions.flatten(1)
    product = (v.mT @ y)[None] if matrices == 1 else v[:, :, None] * y[:, None, :]
    return (product + product.mT).mul_(-0.5)


def _sum_to(gradient: Tensor, shape: torch.Size) -> Tensor:
    return gradient if gradient.shape[0] == shape[0] else gradient.sum(0, keepdim=True)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()
