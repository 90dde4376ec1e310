"""Trajectory optimisation under any linear limits, differentiable by the implicit function theorem."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dto_envs.filters import general
from dto_envs.filters.rows import LimitRows


def solve(hessian: Tensor, linear: Tensor, rows: LimitRows) -> Tensor:
    """As :func:`dto_envs.filters.general.solve`, for float64 tensors (B or 1, n, n) and (B, n); returns (B, n).

    ProxQP runs on the CPU wherever the tensors are. Gradients exist by the Hessian (symmetric) and the linear term.
    """
    if hessian.shape[0] > 1 and hessian.stride(0) == 0:
        hessian = hessian[:1]
    return _GeneralQP.apply(hessian, linear, rows)  # type: ignore[return-value]


class _GeneralQP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hessian: Tensor, linear: Tensor, rows: LimitRows) -> Tensor:
        answers, active = general.solve(_array(hessian), _array(linear), rows)
        result = torch.from_numpy(answers).to(linear)
        ctx.save_for_backward(hessian, result, torch.from_numpy(active != 0).to(linear.device))
        ctx.matrix = rows.matrix
        return result

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple:  # type: ignore[override]
        hessian, answers, active = ctx.saved_tensors
        matrix = torch.as_tensor(ctx.matrix, dtype=answers.dtype, device=answers.device)
        factor = torch.linalg.cholesky(hessian)
        # Newton's step w = H^-1 cotangent, less what would leave the active limits.
        step = torch.cholesky_solve(cotangents[0][:, :, None], factor)
        across = torch.cholesky_solve(matrix.T.expand(hessian.shape[0], -1, -1), factor)
        both = active[:, :, None] & active[:, None, :]
        schur = torch.where(both, matrix @ across, 0.0)
        ridge = 1e-13 * schur.diagonal(dim1=-2, dim2=-1).amax(-1).clamp_min(1e-300)
        diagonal = torch.where(active, ridge[:, None], 1.0)
        schur_factor = torch.linalg.cholesky(schur + torch.diag_embed(diagonal))
        v = step
        for _ in range(3):
            leaving = (matrix @ v) * active[:, :, None]
            v = v - across @ torch.cholesky_solve(leaving, schur_factor)
        v = v[..., 0]
        by_hessian = None
        if ctx.needs_input_grad[0]:
            product = (v.T @ answers)[None] if hessian.shape[0] == 1 else v[:, :, None] * answers[:, None, :]
            by_hessian = -0.5 * (product + product.mT)
        return by_hessian, v, None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
