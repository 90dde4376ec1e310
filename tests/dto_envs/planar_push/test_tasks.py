"""Tasks: frozen sets, motions that keep what they promise, and grips against a linear-programming oracle."""

import hashlib

import numpy as np
import pytest
from scipy.optimize import linprog

from dto_envs.planar_push import tasks
from dto_envs.planar_push.constants import (
    AIR_GAP,
    MAX_NORMAL_FORCE,
    MAX_ROTATION,
    MAX_TILT,
    MIN_FINGER_HEIGHT,
    MIN_NORMAL_FORCE,
)
from dto_envs.planar_push.feasibility import SHARES, grips, is_solvable
from dto_envs.planar_push.shapes import Polygon, rotation, to_world
from dto_envs.planar_push.tasks import SETS, Task, TaskError, make_task, natural_spline, random_task

FINE = np.linspace(0.0, 0.4, 81)
DIGESTS = {
    "train": "ce4aecb6fd07d43f",
    "fine-tune": "7bd112ef162c26a2",
    "test": "df145d524d77b4c0",
    "family": "1a4ec27d34d3b60d",
    "omnipush": "8917111cf168ddfd",
}


def all_tasks(name: str) -> list[Task]:
    return [make_task(name, index) for index in range(SETS[name].size)]


every_set = pytest.mark.parametrize("name", SETS)


@every_set
def test_a_set_is_frozen(name):
    together = hashlib.sha256("".join(task.digest for task in all_tasks(name)).encode()).hexdigest()
    assert together[:16] == DIGESTS[name]


def test_all_tasks_of_all_sets_differ():
    digests = [task.digest for name in SETS for task in all_tasks(name)]
    assert len(set(digests)) == len(digests) == sum(entry.size for entry in SETS.values())


@every_set
def test_a_set_has_the_objects_and_motions_it_should(name):
    low, high = SETS[name].facets or (16, 16)
    drawn = all_tasks(name)
    assert {len(task.polygon.vertices) for task in drawn} == set(range(low, high + 1))
    assert np.mean([task.airborne for task in drawn]) == 0.7
    assert all(is_solvable(task) for task in drawn)


@every_set
def test_motions_keep_their_distance_from_the_ground_or_touch_it(name):
    for task in all_tasks(name):
        heights = to_world(task.spline(FINE), task.polygon.vertices)[..., 1].min(axis=1)
        if task.airborne:
            assert heights.min() > AIR_GAP / 2 and not task.touching.any()
        else:
            assert np.abs(heights).max() < 1e-3
            assert task.touching.any(axis=1).all()
            np.testing.assert_allclose(to_world(task.poses, task.polygon.vertices)[..., 1].min(axis=1), 0, atol=2e-6)
        turn = np.ptp(task.poses[:, 2])
        assert turn <= (MAX_ROTATION if task.airborne else MAX_TILT) + 1e-5


def test_grounded_tasks_slide_and_tilt():
    touching = [task.touching.sum(axis=1) for name in SETS for task in all_tasks(name) if not task.airborne]
    slides = [counts for counts in touching if (counts == 2).all()]
    tilts = [counts for counts in touching if counts[0] == 2 and (counts[1:] == 1).all()]
    assert len(slides) + len(tilts) == len(touching) and min(len(slides), len(tilts)) > 5


def test_grounded_objects_start_next_to_rest():
    for task in (task for name in SETS for task in all_tasks(name) if not task.airborne):
        assert abs(task.velocity[0]) < 0.6 and abs(task.velocity[1]) < 0.1 and abs(task.velocity[2]) < 0.6


def test_the_spline_passes_through_the_poses_and_is_natural():
    task = make_task("train", 0)
    np.testing.assert_allclose(task.spline(task.times), task.poses, atol=1e-14)
    np.testing.assert_allclose(task.accelerations[[0, -1]], 0.0, atol=1e-10)
    np.testing.assert_allclose(task.velocity, (task.spline(1e-6) - task.poses[0]) / 1e-6, atol=1e-4)
    differences = (task.poses[2:] - 2 * task.poses[1:-1] + task.poses[:-2]) / task.dt**2
    # Of a cubic spline: (a0 + 4 a1 + a2) / 6 is the second difference.
    a = task.accelerations
    np.testing.assert_allclose((a[:-2] + 4 * a[1:-1] + a[2:]) / 6, differences, atol=1e-9)
    assert natural_spline(np.zeros((5, 2, 2)), 0.1)(0.05).shape == (2, 2)


def test_fresh_tasks_follow_from_the_generator():
    first, second = (random_task(np.random.default_rng(3)) for _ in range(2))
    assert first.digest == second.digest != random_task(np.random.default_rng(4)).digest
    drawn = [random_task(np.random.default_rng(seed)) for seed in range(60)]
    assert 0.5 < np.mean([task.airborne for task in drawn]) < 0.9
    assert len(random_task(np.random.default_rng(0), None).polygon.vertices) == 16


def cone_rows(task: Task, points: np.ndarray, normals: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(3, 4) wrench in world axes per unit of two fingers' normal and tangential forces, written out by hand."""
    turn = rotation(pose[2])
    columns = []
    for point, normal in zip(points @ turn.T, normals @ turn.T, strict=True):
        for force in (-normal, np.array([-normal[1], normal[0]])):
            columns.append([*force, point[0] * force[1] - point[1] * force[0]])
    return np.array(columns).T


def oracle(task: Task, pair: tuple[int, int]) -> bool:
    """Whether a grip can do an airborne task, by one linear program per keyframe."""
    facets, shares = np.divmod(pair, len(SHARES))
    points = task.polygon.points(facets, np.array(SHARES)[shares])
    if to_world(task.poses, points)[..., 1].min() < MIN_FINGER_HEIGHT:
        return False
    mu, bounds = task.finger_friction, [(MIN_NORMAL_FORCE, MAX_NORMAL_FORCE), (None, None)] * 2
    cone = [[-mu, 1, 0, 0], [-mu, -1, 0, 0], [0, 0, -mu, 1], [0, 0, -mu, -1]]
    for pose, acceleration in zip(task.poses, task.accelerations, strict=True):
        wrench = [
            task.polygon.mass * acceleration[0],
            task.polygon.mass * (acceleration[1] + task.gravity),
            task.polygon.inertia * acceleration[2],
        ]
        equal = cone_rows(task, points, task.polygon.normals[facets], pose)
        if not linprog(np.zeros(4), cone, np.zeros(4), equal, wrench, bounds).success:
            return False
    return True


@pytest.mark.parametrize("index", [0, 1])
def test_the_grips_of_an_airborne_task_are_those_a_linear_program_finds(index):
    task = make_task("train", index)
    assert task.airborne
    found = {tuple(pair) for pair in grips(task)}
    count = len(task.polygon.vertices) * len(SHARES)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    assert {pair for pair in pairs if oracle(task, pair)} == found != set()


def test_a_motion_that_no_friction_can_carry_is_unsolvable():
    square = Polygon.from_points(np.array([[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]))
    hover = np.tile([0.0, 0.3, 0.0], (5, 1))
    assert is_solvable(Task(square, hover, airborne=True))
    leap = hover + np.array([0.0, 0.1, 0.0]) * np.array([[0], [1], [0], [1], [0]])
    assert not is_solvable(Task(square, leap, airborne=True))
    away = hover + [0.6, 0.0, 0.0]
    assert not is_solvable(Task(square, away, airborne=True))


def test_the_ground_carries_what_the_fingers_cannot():
    square = Polygon.from_points(np.array([[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]))
    lying = np.tile([0.0, 0.1, 0.0], (5, 1))
    assert is_solvable(Task(square, lying, airborne=False, finger_friction=0.05))
    assert not is_solvable(Task(square, lying, airborne=True, finger_friction=0.05))


def test_what_is_not_a_task_is_refused():
    square = Polygon.from_points(np.array([[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]))
    with pytest.raises(TaskError, match=r"\(T, 3\)"):
        Task(square, np.zeros((5, 2)), airborne=True)
    with pytest.raises(TaskError, match="finite"):
        Task(square, np.full((5, 3), np.nan), airborne=True)
    with pytest.raises(TaskError, match="dt"):
        Task(square, np.zeros((5, 3)), airborne=True, dt=0.0)
    with pytest.raises(TaskError, match="finger_friction"):
        Task(square, np.zeros((5, 3)), airborne=True, finger_friction=-1.0)
    with pytest.raises(TaskError, match="train, fine-tune"):
        make_task("trane", 0)
    with pytest.raises(TaskError, match="0 to 19"):
        make_task("train", 20)


def test_a_set_without_solvable_tasks_says_so(monkeypatch):
    monkeypatch.setattr(tasks, "is_solvable", lambda task: False)
    monkeypatch.setattr(tasks, "MAX_DRAWS", 3)
    with pytest.raises(TaskError, match="none of 3 draws"):
        random_task(np.random.default_rng(0))
