"""Velocity and position limits, the general solver, and LeTO's layer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.filters import InfeasibleLimitsError, general, violation
from dto_envs.filters.dto import DTOLayer, StaticQ
from dto_envs.filters.leto import LeTOLayer
from dto_envs.filters.rows import PositionLimit, position_rows
from dto_envs.layouts import PUSHT_LAYOUT, ROBOMIMIC_LAYOUT

ABOVE_TABLE = PositionLimit(matrix=((0.0, 0.0, 1.0, 0.0, 0.0, 0.0),), lower=(0.0475,), upper=(np.inf,))


def inputs(seed, batch=3, horizon=8, height=0.06):
    rng = np.random.default_rng(seed)
    embedding = torch.from_numpy(rng.normal(size=(batch, horizon, 7)) * 1.5)
    previous = rng.uniform(-0.3, 0.3, (batch, 7))
    previous[:, 2] = rng.uniform(-0.05, 0.3, batch)
    position = np.zeros((batch, 6))
    position[:, 2] = height + rng.uniform(0, 0.02, batch)
    return embedding, previous, position


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("linked", [True, False])
@given(seed=st.integers(0, 2**31))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_every_limit_holds(dtype, linked, seed):
    embedding, previous, position = inputs(seed)
    last = previous if linked else None
    layer = LeTOLayer(8, ROBOMIMIC_LAYOUT, velocity=0.4, position_limit=ABOVE_TABLE).to(dtype)
    y = layer(embedding.to(dtype), last, position).detach().numpy()
    assert y.dtype == (np.float64 if dtype == torch.float64 else np.float32)
    trajectory = y[:, :, :6].astype(np.float64)
    assert violation(y, last, ROBOMIMIC_LAYOUT).max() <= 1e-6
    assert np.abs(trajectory).max() <= 0.4 + 1e-6
    heights = position[:, 2:3] + 0.05 * np.cumsum(trajectory[:, :-1, 2], axis=1)
    assert heights.min() >= 0.0475 - 1e-6


def test_limits_do_bind():
    embedding, previous, position = inputs(0)
    embedding[:, :, 2] = -2.0
    y = LeTOLayer(8, ROBOMIMIC_LAYOUT, velocity=0.4, position_limit=ABOVE_TABLE).double()(embedding, None, position)
    heights = position[:, 2:3] + 0.05 * np.cumsum(y.detach().numpy()[:, :-1, 2], axis=1)
    np.testing.assert_allclose(heights.min(axis=1), 0.0475, atol=1e-9)
    assert y[:, :, :6].abs().amax().item() == pytest.approx(0.4, abs=1e-9)


def close_and_fast(seed, batch=3):
    """Positions at and below the limit, or just above it on the way down too fast to stop."""
    embedding, previous, position = inputs(seed, batch)
    rng = np.random.default_rng(seed)
    position[:, 2] = 0.0475 + rng.uniform(-0.002, 0.004, batch)
    previous[:, 2] = rng.uniform(-0.4, 0.1, batch)
    return embedding, previous, position


@given(seed=st.integers(0, 2**31))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_a_limit_that_cannot_be_kept_is_approached_by_braking(seed):
    embedding, previous, position = close_and_fast(seed)
    layer = LeTOLayer(8, ROBOMIMIC_LAYOUT, velocity=0.4, position_limit=ABOVE_TABLE, best_effort=True).double()
    y = layer(embedding, previous, position).detach().numpy()
    assert violation(y, previous, ROBOMIMIC_LAYOUT).max() <= 1e-6
    assert np.abs(y[:, :, :6]).max() <= 0.4 + 1e-6
    hardest = np.minimum(previous[:, 2:3] + 0.1 * np.arange(1, 8), 0.4)
    braked = position[:, 2:3] + 0.05 * np.cumsum(hardest, axis=1)
    heights = position[:, 2:3] + 0.05 * np.cumsum(y[:, :-1, 2], axis=1)
    assert (heights >= np.minimum(0.0475, braked) - 2e-5).all()


def test_best_effort_changes_nothing_where_the_limit_can_be_kept():
    embedding, previous, position = inputs(7)
    strict, soft = (
        LeTOLayer(8, ROBOMIMIC_LAYOUT, velocity=0.4, position_limit=ABOVE_TABLE, best_effort=effort).double()
        for effort in (False, True)
    )
    y = strict(embedding, previous, position).detach().numpy()
    np.testing.assert_allclose(soft(embedding, previous, position).detach().numpy(), y, atol=1e-8)


def test_without_limits_the_output_has_the_sign_of_the_embedding():
    """The linear term is -tanh(e): with L = I and loose limits the trajectory is tanh(e) itself, up to eps."""
    embedding = inputs(1)[0]
    y = LeTOLayer(8, ROBOMIMIC_LAYOUT, alpha=0.0, bound=np.inf, velocity=None).double()(embedding)
    np.testing.assert_allclose(y.detach().numpy(), np.tanh(embedding.numpy()) / (1 + 1e-4), atol=1e-12)


def test_agrees_with_the_box_solver_where_both_apply():
    chunk = np.random.default_rng(2).normal(size=(4, 8, 7)) * 0.3
    previous = chunk[:, 0] + 0.05
    box = DTOLayer(StaticQ(), ROBOMIMIC_LAYOUT)(chunk, previous)
    wide = DTOLayer(StaticQ(), ROBOMIMIC_LAYOUT, velocity=50.0)(chunk, previous)
    np.testing.assert_allclose(wide, box, atol=1e-10)


@pytest.mark.parametrize("linked", [True, False])
def test_solving_under_fewer_limits_first_changes_nothing(linked):
    """Samples that meet the limits on velocities without being told to, and samples that do not, in one batch."""
    chunk = np.random.default_rng(4).normal(size=(12, 8, 7)) * np.linspace(0.05, 1.0, 12)[:, None, None]
    previous = 0.3 * np.sign(chunk[:, 0]) if linked else None
    layer = DTOLayer(StaticQ(), ROBOMIMIC_LAYOUT, velocity=0.35)
    rows = layer.limit_rows(8, previous, None)
    relaxed = DTOLayer(StaticQ(), ROBOMIMIC_LAYOUT)(chunk, previous)
    assert 0 < (rows.excess(relaxed) > 1e-9).sum() < 12
    hessian = general.smoothed(np.eye(56)[None], ROBOMIMIC_LAYOUT.alpha, ROBOMIMIC_LAYOUT.trajectory, 8)
    expected, _ = general.solve(hessian, chunk.reshape(12, -1), rows)
    np.testing.assert_allclose(layer(chunk, previous).reshape(12, -1), expected, atol=1e-9)


def test_errors_name_the_sample_of_the_whole_batch():
    chunk = np.zeros((3, 4, 7))
    previous = np.zeros((3, 7))
    previous[2, 0] = 0.9
    with pytest.raises(InfeasibleLimitsError, match="of sample 2"):
        DTOLayer(StaticQ(), ROBOMIMIC_LAYOUT, velocity=0.35)(chunk, previous)


def test_the_layer_is_an_action_filter_for_arrays():
    embedding, previous, _ = inputs(6)
    layer = LeTOLayer(8, ROBOMIMIC_LAYOUT, velocity=0.4).double()
    y = layer(embedding.numpy(), previous)
    assert isinstance(y, np.ndarray)
    np.testing.assert_allclose(y, layer(embedding, previous).detach().numpy(), atol=1e-12)


def test_general_solver_agrees_with_scipy():
    from scipy.optimize import minimize

    embedding, previous, position = inputs(5, batch=1, horizon=4)
    layer = LeTOLayer(4, ROBOMIMIC_LAYOUT, alpha=1.0, velocity=0.25, position_limit=ABOVE_TABLE)
    chunk = np.tanh(embedding.numpy())
    rows = layer.optimizer.limit_rows(4, previous, position)
    hessian = general.smoothed(np.eye(28)[None] * (1 + 1e-4), 1.0, ROBOMIMIC_LAYOUT.trajectory, 4)
    answer, _ = general.solve(hessian, chunk.reshape(1, -1), rows)
    sides = [(-rows.matrix, rows.upper[0]), (rows.matrix, -rows.lower[0])]
    finite = [(m[np.isfinite(s)], s[np.isfinite(s)]) for m, s in sides]
    constraints = [{"type": "ineq", "fun": lambda y, m=m, s=s: m @ y + s} for m, s in finite]
    expected = minimize(
        lambda y: 0.5 * y @ hessian[0] @ y - chunk.ravel() @ y,
        np.zeros(28),
        jac=lambda y: hessian[0] @ y - chunk.ravel(),
        constraints=constraints,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 300},
    )
    np.testing.assert_allclose(answer[0], expected.x, atol=1e-6)


def test_gradients():
    embedding, _, position = inputs(3, batch=2, horizon=3)
    layer = LeTOLayer(3, ROBOMIMIC_LAYOUT, velocity=0.4, position_limit=ABOVE_TABLE).double()
    factor = torch.eye(21, dtype=torch.float64) + 0.05 * torch.randn(
        21, 21, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )

    def solve(e, entries):
        return torch.func.functional_call(layer, {"optimizer.q_source.entries": entries}, (e, None, position))

    arguments = (embedding.requires_grad_(), factor.requires_grad_())
    assert torch.autograd.gradcheck(solve, arguments, eps=1e-5, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": np.zeros((3, 6))}, r"position limit already broken at step 0.*sample 0.*vz"),
        ({"previous": np.full((3, 7), 0.9)}, r"velocity limit, dimension \d \([vw][xyz]\), step 0"),
        ({"previous": np.full((3, 7), -0.4), "position": np.full((3, 6), 0.048)}, r"position limit.*vz, step \d"),
    ],
)
def test_infeasible_limits_are_named(change, message):
    embedding, previous, position = inputs(0)
    layer = LeTOLayer(8, ROBOMIMIC_LAYOUT, velocity=0.4, position_limit=ABOVE_TABLE)
    call = {"embedding": embedding, "previous": previous, "position": position, **change}
    with pytest.raises(InfeasibleLimitsError, match=message):
        layer(**call)


def test_what_does_not_fit_is_refused():
    embedding, previous, position = inputs(0)
    layer = LeTOLayer(8, ROBOMIMIC_LAYOUT, position_limit=ABOVE_TABLE)
    with pytest.raises(ValueError, match="current position"):
        layer(embedding, previous)
    with pytest.raises(ValueError, match=r"\(B, 6\)"):
        layer(embedding, previous, position[:, :2])
    with pytest.raises(ValueError, match="velocity commands"):
        position_rows(ABOVE_TABLE, np.zeros((1, 2)), PUSHT_LAYOUT, 4)
    with pytest.raises(ValueError, match=r"\(K, 6\)"):
        position_rows(PositionLimit(((1.0, 0.0),), (0.0,), (1.0,)), np.zeros((1, 6)), ROBOMIMIC_LAYOUT, 4)
    with pytest.raises(InfeasibleLimitsError, match="velocity limit"):
        LeTOLayer(8, ROBOMIMIC_LAYOUT, velocity=(0.5, 0.2))(embedding)
