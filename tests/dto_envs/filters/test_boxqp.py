"""The box QP: optimality, limits, agreement with other solvers, gradients, independence of batch and threads."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from dto_envs.filters import boxqp, boxqp_torch, reference

quick = settings(max_examples=40, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Problem:
    q: np.ndarray
    linear: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    alpha: float
    trajectory: tuple[int, ...]
    previous: np.ndarray | None

    @property
    def options(self):
        return {"alpha": self.alpha, "trajectory": self.trajectory, "previous": self.previous}

    @property
    def arrays(self):
        return self.q, self.linear, self.lower, self.upper

    def solve(self, **options):
        return boxqp.solve(*self.arrays, **self.options, **options)

    def torch(self, backend):
        last = None if self.previous is None else torch.from_numpy(self.previous)
        tensors = map(torch.from_numpy, self.arrays)
        return boxqp_torch.solve(*tensors, **{**self.options, "previous": last}, backend=backend).numpy()

    def differences(self, actions):
        chosen = list(self.trajectory)
        steps = actions[:, :, chosen].astype(np.float64)
        start = np.zeros_like(steps[:, :1]) if self.previous is None else self.previous[:, None, chosen]
        return np.diff(steps, axis=1, prepend=start)

    def excess(self, actions):
        differences = self.differences(actions)
        return np.maximum(differences - self.upper, self.lower - differences).max(initial=0.0)

    def objective(self, actions):
        flat, linear = actions.reshape(len(actions), -1), self.linear.reshape(len(actions), -1)
        quadratic = 0.5 * np.einsum("bi,bij,bj->b", flat, np.broadcast_to(self.q, (len(flat), *self.q.shape[1:])), flat)
        smooth = np.square(np.diff(actions[:, :, list(self.trajectory)], axis=1)).sum((1, 2))
        return quadratic - np.einsum("bi,bi->b", linear, flat) + 0.5 * self.alpha * smooth


def make_problem(
    seed,
    horizon,
    dims,
    *,
    bound=0.1,
    condition=1.0,
    linked=True,
    shared=False,
    pinned=False,
    open_sides=False,
    far=False,
):
    rng = np.random.default_rng(seed)
    batch, size = int(rng.integers(1, 4)), horizon * dims
    trajectory = tuple(int(d) for d in rng.permutation(dims)[: rng.integers(1, dims + 1)])
    eigenvalues = 10.0 ** (condition * rng.uniform(0, 1, size))
    eigenvalues[0] = 1.0
    matrices = [np.linalg.qr(rng.normal(size=(size, size)))[0] for _ in range(1 if shared else batch)]
    q = np.stack([(basis * eigenvalues) @ basis.T for basis in matrices])
    wanted = np.cumsum(rng.normal(size=(batch, horizon, dims)), axis=1) * 0.2
    linear = (q @ wanted.reshape(batch, size, 1)).reshape(wanted.shape)
    shape = (batch, horizon, len(trajectory))
    lower, upper = -bound * rng.uniform(0.2, 1, shape), bound * rng.uniform(0.2, 1, shape)
    if open_sides:
        lower[rng.uniform(size=shape) < 0.4] = -np.inf
        upper[rng.uniform(size=shape) < 0.4] = np.inf
    if pinned:
        held = rng.uniform(size=shape) < 0.3
        lower[held] = upper[held] = 0.3 * min(bound, 0.1)
    previous = rng.normal(size=(batch, dims)) * (5.0 if far else 0.2) if linked else None
    if not linked:
        lower[:, 0], upper[:, 0] = -np.inf, np.inf
    return Problem(q, linear, lower, upper, float(rng.choice([0.0, 1.0, 4.0])), trajectory, previous)


@st.composite
def problems(draw, largest=150, condition=8.0, pinned=True, horizon=32):
    horizon = draw(st.integers(1, horizon), label="horizon")
    dims = draw(st.integers(1, max(1, min(14, largest // horizon))), label="dims")
    return make_problem(
        draw(st.integers(0, 2**31), label="seed"),
        horizon,
        dims,
        bound=draw(st.sampled_from([1e-4, 0.05, 0.1, 0.4, 1e3]), label="bound"),
        condition=draw(st.floats(0, condition), label="condition"),
        linked=draw(st.booleans(), label="linked"),
        shared=draw(st.booleans(), label="shared"),
        pinned=pinned and draw(st.booleans(), label="pinned"),
        open_sides=draw(st.booleans(), label="open_sides"),
        far=draw(st.booleans(), label="far"),
    )


@given(problems())
@example(make_problem(0, 32, 14, condition=8.0))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_solution_is_optimal_and_within_limits(problem):
    actions = problem.solve().actions
    assert reference.kkt_residual(*problem.arrays, actions, **problem.options).max() <= 1e-8
    assert problem.excess(actions) <= 1e-12
    assert problem.excess(actions.astype(np.float32)) <= 1e-6


@given(problems(largest=60), st.integers(0, 2**31))
@quick
def test_no_feasible_neighbour_is_better(problem, seed):
    """Independent of the change of variables: move each solution towards another feasible trajectory."""
    actions = problem.solve().actions
    other = replace(problem, linear=problem.linear + np.random.default_rng(seed).normal(size=problem.linear.shape))
    best, scale = problem.objective(actions), np.abs(problem.linear * actions).sum((1, 2)) + 1.0
    for length in (1e-3, 0.5):
        moved = actions + length * (other.solve().actions - actions)
        assert (problem.objective(moved) >= best - 1e-10 * scale).all()


def test_all_limits_active_and_none():
    tight = make_problem(3, 16, 6, bound=1e-5)
    chosen = list(tight.trajectory)
    assert (tight.solve().active[:, :, chosen] != 0).mean() > 0.95
    loose = make_problem(3, 16, 6, bound=1e3, linked=False)
    solution = loose.solve()
    assert not solution.active.any()
    steps = np.diff(np.eye(16), axis=0)
    select = np.diag([float(d in loose.trajectory) for d in range(6)])
    hessian = loose.q + loose.alpha * np.kron(steps.T @ steps, select)
    expected = np.linalg.solve(hessian, loose.linear.reshape(len(loose.linear), -1, 1))
    np.testing.assert_allclose(solution.actions.reshape(expected.shape), expected, atol=1e-11)


@given(problems(largest=48, condition=3.0, pinned=False))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_agrees_with_qpth(problem):
    pytest.importorskip("qpth")
    expected = reference.solve_qpth(*problem.arrays, **problem.options)
    np.testing.assert_allclose(problem.solve().actions, expected, atol=1e-6)


@given(problems(largest=80, condition=3.0))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_agrees_with_proxqp(problem):
    expected = reference.solve_proxqp(*problem.arrays, **problem.options)
    np.testing.assert_allclose(problem.solve().actions, expected, atol=1e-6)


@given(problems(largest=80, condition=8.0))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_batched_tensors_are_optimal_too(problem):
    actions = problem.torch("torch")
    assert reference.kkt_residual(*problem.arrays, actions, **problem.options).max() <= 1e-8
    assert problem.excess(actions) <= 1e-12


@given(problems(largest=80, condition=3.0))
@quick
def test_batched_tensors_agree_with_the_compiled_loop(problem):
    np.testing.assert_allclose(problem.torch("torch"), problem.torch("compiled"), atol=1e-9)


def test_rows_do_not_depend_on_batch_order_or_threads():
    rng = np.random.default_rng(5)
    one = make_problem(11, 16, 7, condition=2.0)
    count = 9
    q = np.repeat(one.q[:1], count, axis=0) + np.eye(112) * rng.uniform(0, 1, (count, 1, 1))
    linear, previous = rng.normal(size=(count, 16, 7)), rng.normal(size=(count, 7)) * 0.3
    options = {"alpha": 1.0, "trajectory": one.trajectory}

    def solve(rows, threads=1):
        limits = one.lower[:1], one.upper[:1]
        return boxqp.solve(q[rows], linear[rows], *limits, previous=previous[rows], threads=threads, **options).actions

    together = solve(np.arange(count))
    assert np.array_equal(together, solve(np.arange(count), threads=2))
    assert np.array_equal(together[::-1], solve(np.arange(count)[::-1], threads=3))
    for row in range(count):
        assert np.array_equal(together[row : row + 1], solve(np.array([row])))


@given(problems(largest=60, condition=3.0))
@quick
def test_answer_does_not_depend_on_the_start(problem):
    start = np.random.default_rng(0).normal(size=problem.linear.shape)
    np.testing.assert_allclose(problem.solve(start=start).actions, problem.solve().actions, atol=1e-9)


def strictly_complementary(problem, margin=1e-3):
    """No limit is weakly active: held coordinates pull at their limit, free ones keep away from theirs."""
    solution = problem.solve()
    actions, chosen = solution.actions, list(problem.trajectory)
    active = solution.active[:, :, chosen]
    differences = problem.differences(actions)
    room = np.minimum(differences - problem.lower, problem.upper - differences)
    batch, horizon, _ = actions.shape
    flat = actions.reshape(batch, -1)
    gradient = (np.einsum("bij,bj->bi", problem.q, flat)).reshape(actions.shape) - problem.linear
    steps = np.diff(actions, axis=1)
    smooth = np.zeros_like(actions)
    smooth[:, 1:] += steps
    smooth[:, :-1] -= steps
    gradient = (gradient + problem.alpha * smooth)[:, :, chosen]
    pull = gradient[:, ::-1].cumsum(axis=1)[:, ::-1]
    return (room[active == 0] > margin).all() and (np.abs(pull[active != 0]) > margin).all()


@pytest.mark.parametrize("backend", ["compiled", "torch"])
@given(seed=st.integers(0, 2**31), horizon=st.integers(1, 4), dims=st.integers(1, 2), linked=st.booleans())
@settings(max_examples=6, deadline=None, derandomize=True)
def test_gradients(backend, seed, horizon, dims, linked):
    problem = make_problem(seed, horizon, dims, bound=0.3, condition=1.0, linked=linked)
    problem = replace(problem, q=np.repeat(problem.q[:1], len(problem.linear), axis=0))
    assume(strictly_complementary(problem))
    tensors = [torch.from_numpy(array.copy()).requires_grad_() for array in problem.arrays[:2]]
    if linked:
        tensors += [
            torch.from_numpy(a.copy()).requires_grad_() for a in (problem.lower, problem.upper, problem.previous)
        ]
    fixed = [torch.from_numpy(problem.lower), torch.from_numpy(problem.upper)]

    def solve(q, linear, *rest):
        limits, previous = (rest[:2], rest[2]) if linked else (fixed, None)
        options = {"alpha": problem.alpha, "trajectory": problem.trajectory, "previous": previous}
        return boxqp_torch.solve(q, linear, *limits, backend=backend, **options)

    assert torch.autograd.gradcheck(solve, tensors)


def test_one_matrix_for_the_batch_collects_the_gradient_of_all():
    problem = make_problem(2, 5, 3, bound=0.2)
    batch = len(problem.linear)
    assert batch > 1
    limits = [torch.from_numpy(limit) for limit in (problem.lower, problem.upper)]
    options = {
        "alpha": problem.alpha,
        "trajectory": problem.trajectory,
        "previous": torch.from_numpy(problem.previous),
    }
    gradients = []
    for repeat in (lambda q: q, lambda q: q.expand(batch, -1, -1), lambda q: q.expand(batch, -1, -1).clone()):
        q = torch.from_numpy(problem.q[:1].copy()).requires_grad_()
        boxqp_torch.solve(repeat(q), torch.from_numpy(problem.linear), *limits, **options).square().sum().backward()
        gradients.append(q.grad)
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[0], gradients[2])


@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_indefinite_quadratic_form_is_refused(backend):
    problem = replace(make_problem(0, 4, 2, bound=10.0), q=-np.eye(8)[None])
    with pytest.raises(ValueError, match="sample 0 is not positive definite"):
        problem.torch(backend)


@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_standing_still_is_found_where_nothing_pulls(backend):
    """In halves and integers: what pulls cancels exactly, and the scale of residuals shrinks with them."""
    summed = np.tril(np.ones((12, 12)))
    q, still = (np.eye(12) + summed.T @ summed)[None], np.full((3, 12, 1), 0.5)
    limits = np.full((1, 12, 1), 0.125)
    problem = Problem(q, q @ still, -limits, limits, 4.0, (0,), still[:, 0])
    np.testing.assert_array_equal(problem.torch(backend), still)
    np.testing.assert_array_equal(problem.solve().actions, still)
