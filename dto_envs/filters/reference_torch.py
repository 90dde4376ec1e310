"""Other solvers for the same box problem on torch tensors, differentiable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dto_envs.filters import general_torch
from dto_envs.filters.rows import difference_rows


def smoothed(q: Tensor, alpha: float, trajectory: Sequence[int], horizon: int) -> Tensor:
    """sym(Q) + alpha S'D'DS for Q of shape (..., n, n)."""
    from dto_envs.filters import general

    penalty = general.smoothed(np.zeros(q.shape[-2:]), alpha, trajectory, horizon)
    return 0.5 * (q + q.mT) + torch.as_tensor(penalty, dtype=q.dtype, device=q.device)


def solve_proxqp_torch(
    q: Tensor,
    linear: Tensor,
    lower: Tensor,
    upper: Tensor,
    *,
    alpha: float,
    trajectory: Sequence[int],
    previous: Tensor | None = None,
) -> Tensor:
    """As :func:`dto_envs.filters.reference.solve_proxqp`; differentiable by Q and the linear term."""
    low, high = (limit.detach().cpu().numpy() for limit in (lower, upper))
    last = None if previous is None else previous.detach().cpu().numpy()
    rows = difference_rows(low, high, linear.shape[2], trajectory, last)
    hessian = smoothed(q, alpha, trajectory, linear.shape[1])
    return general_torch.solve(hessian, linear.flatten(1), rows).reshape(linear.shape)


def solve_qpth_torch(
    q: Tensor,
    linear: Tensor,
    lower: Tensor,
    upper: Tensor,
    *,
    alpha: float,
    trajectory: Sequence[int],
    previous: Tensor | None = None,
) -> Tensor:
    """As :func:`dto_envs.filters.reference.solve_qpth`; differentiable by Q and the linear term."""
    try:
        from qpth.qp import QPFunction
    except ImportError:
        raise ImportError("solver='qpth' needs qpth; run: pip install 'dto-envs[qpth]'") from None
    from dto_envs.filters.reference import RESIDUAL_LIMIT, kkt_residual

    batch = linear.shape[0]
    low, high = (limit.detach().cpu().numpy() for limit in (lower, upper))
    last = None if previous is None else previous.detach().cpu().numpy()
    rows = difference_rows(low, high, linear.shape[2], trajectory, last)
    hessian = smoothed(q, alpha, trajectory, linear.shape[1])
    # By default qpth gives up after three steps without progress, on some single problems far from the optimum.
    solver = QPFunction(verbose=-1, eps=1e-13, notImprovedLim=20, maxIter=60, check_Q_spd=False)
    empty = linear.new_empty(0)
    answers = []
    for b in range(batch):
        row_low, row_high = (side[b if side.shape[0] > 1 else 0] for side in (rows.lower, rows.upper))
        has_low, has_high = np.isfinite(row_low), np.isfinite(row_high)
        g = torch.as_tensor(np.concatenate([rows.matrix[has_high], -rows.matrix[has_low]])).to(linear)
        h = torch.as_tensor(np.concatenate([row_high[has_high], -row_low[has_low]])).to(linear)
        form, slope = hessian[b if hessian.shape[0] > 1 else 0], -linear[b].flatten()
        if len(h) == 0:
            answers.append(torch.linalg.solve(form, -slope))
            continue
        unit = form.detach().diagonal().mean()
        answers.append(solver((form / unit)[None], (slope / unit)[None], g[None], h[None], empty, empty)[0])
    result = torch.stack(answers).reshape(linear.shape)
    forms, terms, found = (tensor.detach().cpu().numpy() for tensor in (q, linear, result))
    residual = kkt_residual(forms, terms, low, high, found, alpha=alpha, trajectory=trajectory, previous=last)
    if residual.max(initial=0.0) > RESIDUAL_LIMIT:
        sample = int(residual.argmax())
        raise ValueError(f"qpth's answer for sample {sample} is not optimal (residual {residual[sample]:.1e})")
    return result
