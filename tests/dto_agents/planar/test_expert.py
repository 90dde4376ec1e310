import numpy as np
import pytest

from dto_agents.planar import miqp
from dto_agents.planar.enumeration import changing_contacts, fixed_contacts, pair_costs
from dto_agents.planar.expert import METHODS, UnsolvableTaskError, plan
from dto_agents.planar.mechanics import LENGTH, PlannerOptions, contact_problem
from dto_envs.planar_push.physics import simulate, trajectory_loss
from dto_envs.planar_push.shapes import to_world
from dto_envs.planar_push.tasks import Task, make_task

TASKS = [("train", 0), ("train", 8), ("train", 9), ("fine-tune", 3)]


@pytest.fixture(params=TASKS, ids=lambda key: f"{key[0]}-{key[1]}")
def task(request) -> Task:
    return make_task(*request.param)


def falling(**changes) -> Task:
    """A task in which the object must be pulled down faster than two fingers with little force can."""
    given = make_task("train", 0)
    poses = np.array(given.poses)
    poses[:, 1] += [0.0, 0.02, 0.3, 0.02, 0.0]
    return Task(given.polygon, poses, airborne=True, **changes)


@pytest.mark.parametrize("method", ["enumeration", "viterbi", "highs"])
def test_plans_satisfy_the_dynamics_and_the_friction_cones(task, method):
    made = plan(task, method)
    arms = made.fingers - task.poses[:, None, :2]
    ground_arms = np.nan_to_num(made.ground_points - task.poses[:, None, :2])
    forces = np.concatenate([made.forces, made.ground_forces], axis=1)
    arms = np.concatenate([arms, ground_arms], axis=1)
    torque = (arms[..., 0] * forces[..., 1] - arms[..., 1] * forces[..., 0]).sum(axis=1)
    wanted = task.polygon.mass * (task.accelerations[:, :2] + [0.0, task.gravity])
    np.testing.assert_allclose(forces.sum(axis=1), wanted, atol=1e-6)
    np.testing.assert_allclose(torque, task.polygon.inertia * task.accelerations[:, 2], atol=1e-7)

    ends = np.stack([to_world(pose, task.polygon.vertices) for pose in task.poses])
    for t, finger in np.ndindex(made.facets.shape):
        facet = made.facets[t, finger]
        start, end = ends[t, facet], ends[t, (facet + 1) % ends.shape[1]]
        along = (end - start) / np.linalg.norm(end - start)
        normal = made.forces[t, finger] @ [-along[1], along[0]]
        assert 1.0 - 1e-6 <= normal <= 60.0 + 1e-6
        assert abs(made.forces[t, finger] @ along) <= 0.5 * normal + 1e-6
        np.testing.assert_allclose(made.fingers[t, finger], start + made.shares[t, finger] * (end - start), atol=1e-9)
        assert 0.3 - 1e-9 <= made.shares[t, finger] <= 0.7 + 1e-9
    assert (made.ground_forces[..., 1] >= -1e-9).all()
    assert (abs(made.ground_forces[..., 0]) <= task.ground_friction * made.ground_forces[..., 1] + 1e-9).all()
    assert not (made.ground_forces[~np.isfinite(made.ground_points)]).any()


def test_fixed_contacts_stay_where_they_are_on_the_object(task):
    made = plan(task)
    assert (made.facets == made.facets[0]).all() and (made.shares == made.shares[0]).all()
    assert made.fingers[0, 0, 0] <= made.fingers[0, 1, 0]
    assert made.facets[0, 0] != made.facets[0, 1]
    assert made.status == "optimal" and made.gap == 0.0


@pytest.mark.parametrize("contacts", ["fixed", "changing"])
def test_the_program_and_enumeration_agree_where_facets_have_a_single_point(contacts):
    options = PlannerOptions(points_per_facet=1, span=(0.5, 0.5))
    few = [task for task in (make_task("train", index) for index in range(20)) if len(task.polygon.vertices) == 4]
    for task in few[:2]:
        choice = (fixed_contacts if contacts == "fixed" else changing_contacts)(contact_problem(task, options))
        proof = miqp.solve(task, options, contacts, gap=1e-3)
        if choice is None:
            assert proof.status == "infeasible"
            continue
        assert proof.status == "optimal" and proof.gap <= 1e-3 and proof.answer is not None
        assert proof.answer.cost == pytest.approx(choice.cost, rel=1e-3)
        assert proof.bound <= choice.cost * (1 + 1e-9)


def test_the_program_bounds_enumeration_from_below(task):
    made, proven = plan(task), plan(task, "highs", gap=1e-3)
    assert proven.gap <= 1e-3 and proven.status == "optimal"
    assert proven.bound <= min(made.cost, proven.cost) * (1 + 1e-9)


def test_scip_proves_what_highs_proves():
    pytest.importorskip("pyscipopt")
    task = next(t for t in (make_task("train", i) for i in range(20)) if len(t.polygon.vertices) == 4)
    highs, scip = (miqp.solve(task, solver=solver, gap=1e-2) for solver in ("highs", "scip"))
    assert highs.answer is not None and scip.answer is not None
    assert scip.gap <= 1e-2
    assert scip.answer.cost == pytest.approx(highs.answer.cost, rel=2e-2)


def test_forces_of_a_pair_are_those_of_another_solver():
    import proxsuite

    for name, index in TASKS:
        problem = contact_problem(make_task(name, index))
        costs, forces = pair_costs(problem, problem.pairs[:: max(len(problem.pairs) // 15, 1)])
        checked = 0
        for pair, cost, force in zip(problem.pairs[:: max(len(problem.pairs) // 15, 1)], costs, forces, strict=True):
            for t in np.flatnonzero(np.isfinite(cost)):
                size = force.shape[1]
                weights = np.r_[np.full(4, problem.finger_weight), np.full(size - 4, problem.ground_weight)]
                scale = 1 / np.sqrt(weights)
                equations = np.hstack([*problem.maps[t, pair], problem.ground_maps[t]]) * scale
                rows = np.eye(size)[[0, 0, 0, 2, 2, 2, *range(4, size)]]
                rows[[1, 2, 4, 5]] *= 0.5
                rows[[1, 4], [1, 3]], rows[[2, 5], [1, 3]] = 1.0, -1.0
                low = np.r_[1.0, 0, 0, 1.0, 0, 0, np.zeros(size - 4)]
                high = np.r_[60.0, 1e20, 1e20, 60.0, 1e20, 1e20, np.full(size - 4, 1e20)]
                solver = proxsuite.proxqp.dense.QP(size, 3, len(rows))
                solver.settings.eps_abs, solver.settings.eps_rel = 1e-11, 0.0
                solver.init(np.eye(size), np.zeros(size), equations, problem.required[t], rows * scale, low, high)
                solver.solve()
                np.testing.assert_allclose(force[t], solver.results.x * scale, atol=1e-4)
                checked += 1
        assert checked > 3


def test_infeasible_pairs_are_infeasible():
    from scipy.optimize import linprog

    problem = contact_problem(make_task("train", 0))
    costs, _ = pair_costs(problem)
    some = np.random.default_rng(0).permutation(np.argwhere(~np.isfinite(costs)))[:30]
    for p, t in some:
        pair = problem.pairs[p]
        if not problem.usable[t, pair].all():
            continue
        columns = np.hstack([*problem.maps[t, pair], problem.ground_maps[t]])
        cone = np.zeros((4, columns.shape[1]))
        cone[[0, 1], 0], cone[[2, 3], 2] = -0.5, -0.5
        cone[[0, 1, 2, 3], [1, 1, 3, 3]] = 1.0, -1.0, 1.0, -1.0
        bounds = [(1.0, 60.0), (None, None)] * 2 + [(0, None)] * (columns.shape[1] - 4)
        found = linprog(
            np.zeros(columns.shape[1]),
            A_ub=cone,
            b_ub=np.zeros(4),
            A_eq=columns,
            b_eq=problem.required[t],
            bounds=bounds,
        )
        assert found.status == 2


def test_dynamic_programming_finds_the_best_of_all_sequences():
    task = make_task("train", 0)
    problem = contact_problem(task, PlannerOptions(points_per_facet=1, slip_cost=0.2))
    costs, _ = pair_costs(problem)
    ordered = np.concatenate([problem.pairs, problem.pairs[:, ::-1]])
    node = np.concatenate([costs, costs]).T
    step = problem.slip[ordered[:, None], ordered[None]].sum(axis=-1)
    value = node[0]
    for t in range(1, len(node)):
        value = (value[:, None] + step).min(axis=0) + node[t]
    choice = changing_contacts(problem)
    assert choice is not None
    assert choice.cost == pytest.approx(value.min(), rel=1e-12)
    slips = problem.slip[choice.contacts[:-1], choice.contacts[1:]].sum()
    kept = [node[t, np.flatnonzero((ordered == pair).all(axis=1))[0]] for t, pair in enumerate(choice.contacts)]
    assert choice.cost == pytest.approx(sum(kept) + slips, rel=1e-12)


def test_executed_plans_follow_the_motion():
    losses = []
    for index in range(20):
        task = make_task("train", index)
        made = plan(task)
        losses.append(trajectory_loss(simulate(task, made.fingers, made.forces).poses, task.poses))
    assert np.median(losses) <= 0.1 and np.max(losses) <= 1.0


@pytest.mark.parametrize("method", ["enumeration", "viterbi", "highs"])
def test_an_unsolvable_task_is_refused_in_one_sentence(method):
    with pytest.raises(
        UnsolvableTaskError, match="cannot be solved: no two contact points .* keyframe 2 with friction 0.5"
    ):
        plan(falling(), method)


def test_bad_arguments():
    task = make_task("train", 0)
    with pytest.raises(ValueError, match="choose from enumeration, viterbi, highs, scip"):
        plan(task, "gurobi")
    with pytest.raises(ValueError, match="allow more time"):
        plan(task, "highs", time_limit=0.0)
    assert METHODS[0] == "enumeration"
    with pytest.raises(ValueError, match="'fixed' or 'changing'"):
        miqp.solve(task, contacts="sliding")  # type: ignore[arg-type]


def test_wrenches_are_scaled_by_one_length():
    task = make_task("train", 0)
    problem = contact_problem(task)
    np.testing.assert_allclose(problem.required[:, 2] * LENGTH, task.polygon.inertia * task.accelerations[:, 2])
