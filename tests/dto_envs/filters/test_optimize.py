"""The one function for other people's code."""

import numpy as np
import pytest
import torch

from dto_envs.filters import InfeasibleLimitsError, optimize_trajectory

RNG = np.random.default_rng(0)
ACTIONS = np.cumsum(RNG.normal(size=(3, 6, 3)) * 0.3, axis=1)
FORMS = np.stack([np.eye(18) + 0.02 * m @ m.T for m in RNG.normal(size=(3, 18, 18))])
PREVIOUS = RNG.normal(size=(3, 3)) * 0.3
OPTIONS = {"alpha": 1.0, "trajectory_dims": (0, 2)}


@pytest.mark.parametrize("solver", ["boxqp", "proxqp", "qpth"])
@pytest.mark.parametrize("previous", [PREVIOUS, None])
@pytest.mark.parametrize("form", [FORMS, FORMS[0]])
def test_solvers_arrays_and_tensors_agree(solver, previous, form):
    if solver == "qpth":
        pytest.importorskip("qpth")
    limits = -0.1, np.array([0.1, np.inf])
    expected = optimize_trajectory(ACTIONS, form, *limits, previous=previous, **OPTIONS)
    found = optimize_trajectory(ACTIONS, form, *limits, previous=previous, solver=solver, **OPTIONS)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    actions, q = torch.from_numpy(ACTIONS).requires_grad_(), torch.from_numpy(form).requires_grad_()
    last = None if previous is None else torch.from_numpy(previous)
    limits = -0.1, torch.tensor([0.1, np.inf])
    tensor = optimize_trajectory(actions, q, *limits, previous=last, solver=solver, **OPTIONS)
    np.testing.assert_allclose(tensor.detach().numpy(), expected, atol=1e-7)
    own = optimize_trajectory(actions, q, *limits, previous=last, **OPTIONS)
    for output, other in ((tensor, own),):
        found, expected = (torch.autograd.grad(y.square().sum(), [actions, q]) for y in (output, other))
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def test_hand_computed_problem():
    """Two steps, Q = I: minimise (y0 - 0)^2 + (y1 - 1)^2 with y1 - y0 <= 0.2, whose answer is (0.4, 0.6)."""
    chunk = np.array([[[0.0], [1.0]]])
    y = optimize_trajectory(chunk, np.eye(2), -0.2, 0.2, alpha=0.0, trajectory_dims=[0])
    np.testing.assert_allclose(y[0, :, 0], [0.4, 0.6])
    # With smoothing alpha and no limit: (1 + alpha) y0 - alpha y1 = 0 and (1 + alpha) y1 - alpha y0 = 1.
    y = optimize_trajectory(chunk, np.eye(2), -np.inf, np.inf, alpha=2.0, trajectory_dims=[0])
    np.testing.assert_allclose(y[0, :, 0], [0.4, 0.6])
    y = optimize_trajectory(chunk, np.eye(2), -0.2, 0.2, alpha=0.0, trajectory_dims=[0], previous=np.array([[-1.0]]))
    np.testing.assert_allclose(y[0, :, 0], [-0.8, -0.6])


def test_type_and_dtype_come_back():
    for actions in (ACTIONS.astype(np.float32), torch.from_numpy(ACTIONS).float()):
        y = optimize_trajectory(actions, np.eye(18), -0.1, 0.1, previous=PREVIOUS, **OPTIONS)
        assert type(y) is type(actions) and y.dtype == actions.dtype
        steps = np.diff(np.asarray(y, dtype=np.float64)[:, :, [0, 2]], axis=1, prepend=PREVIOUS[:, None, [0, 2]])
        assert np.abs(steps).max() <= 0.1 + 1e-6


def test_limits_and_previous_have_gradients():
    upper = torch.full((5, 2), 0.1, dtype=torch.float64, requires_grad=True)
    previous = torch.from_numpy(PREVIOUS).requires_grad_()
    y = optimize_trajectory(torch.from_numpy(ACTIONS), FORMS, -0.1, upper, **OPTIONS)
    assert torch.autograd.grad(y.sum(), upper)[0].abs().sum() > 0
    y = optimize_trajectory(torch.from_numpy(ACTIONS), FORMS, -0.1, 0.1, previous=previous, **OPTIONS)
    assert torch.autograd.grad(y.sum(), previous)[0].abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": np.full((3, 6, 3), np.inf)}, "NaN or infinite"),
        ({"Q": np.eye(5)}, "Q has the shape"),
        ({"Q": np.full((18, 18), np.nan)}, "Q has entries"),
        ({"Q": -np.eye(18)}, "positive definite"),
        ({"alpha": -1.0}, "alpha"),
        ({"trajectory_dims": (0, 3)}, "trajectory_dims"),
        ({"trajectory_dims": (0, -3)}, "trajectory_dims"),
        ({"solver": "cvxpy"}, "unknown solver"),
        ({"previous": np.zeros((2, 3))}, "previous"),
        ({"lower": np.zeros((4, 2))}, "does not fit"),
        ({"lower": np.nan}, "NaN"),
    ],
)
@pytest.mark.parametrize("tensors", [False, True])
def test_bad_input_gets_one_clear_error(change, message, tensors):
    call = {"actions": ACTIONS, "Q": np.eye(18), "lower": -0.1, "upper": 0.1, **OPTIONS, **change}
    if tensors:
        call["actions"] = torch.from_numpy(call["actions"])
    with pytest.raises(ValueError, match=message):
        optimize_trajectory(**call)


def test_contradicting_limits_name_dimension_and_step():
    upper = np.full((6, 2), 0.1)
    upper[3, 1] = -0.2
    with pytest.raises(InfeasibleLimitsError, match="dimension 1 at step 3"):
        optimize_trajectory(ACTIONS, np.eye(18), -0.1, upper, **OPTIONS)
