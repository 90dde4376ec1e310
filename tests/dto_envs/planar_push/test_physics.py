"""The physics: free fall and rest by hand, momentum against logged forces, fingers that track, and refusals."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.planar_push.constants import FINGER_RADIUS, GRAVITY, HOME
from dto_envs.planar_push.physics import Physics, World, inset, interval_steps, simulate, trajectory_loss
from dto_envs.planar_push.shapes import Polygon, random_polygon, smooth_polygon
from dto_envs.planar_push.tasks import SETS, Task, make_task

SQUARE = Polygon.from_points(np.array([[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]))
WAITING = np.tile(np.array(HOME), (5, 1, 1))
AWAY = [[-0.45, 0.6], [0.45, 0.6]]


def moving(x: float = 0.0, y: float = 0.0, start=(0.0, 0.3, 0.0), turn: float = 0.0, **options) -> Task:
    """A square that moves evenly by x, y and turns in 0.4 s."""
    poses = np.array(start) + np.linspace(0, 1, 5)[:, None] * np.array([x, y, turn])
    return Task(SQUARE, poses, airborne=start[1] > 0.2, **options)


def beside(task: Task, gap: float = 0.0) -> np.ndarray:
    """(5, 2, 2) fingers that keep to the middle of the square's left and right facet, ``gap`` away from it."""
    reach = 0.1 + gap
    offsets = np.array([[-1.0, 0.0], [1.0, 0.0]]) * reach
    return task.poses[:, None, :2] + offsets


def test_an_object_without_fingers_falls_as_galileo_said():
    task = moving(x=0.1, start=(0.0, 1.2, 0.0), turn=0.4)
    done = simulate(task, WAITING)
    t = task.times
    np.testing.assert_allclose(done.poses[:, 0], 0.25 * t, atol=1e-9)
    np.testing.assert_allclose(done.poses[:, 2], t, atol=1e-9)
    # Semi-implicit Euler leads by g t h / 2 and no more.
    np.testing.assert_allclose(done.poses[:, 1], 1.2 - GRAVITY * t * (t - 0.002) / 2, atol=1e-9)
    assert not done.contact.any() and not done.forces.any()


def test_an_object_at_rest_stays_and_the_ground_carries_its_weight():
    task = moving(start=(0.0, 0.1, 0.0))
    done = simulate(task, WAITING)
    np.testing.assert_allclose(done.poses, task.poses, atol=2e-4)
    np.testing.assert_allclose(done.forces[1:, 2], [[0.0, GRAVITY]] * 3, atol=0.1)
    assert done.contact[1:, 2].min() == 1.0 and done.contact[:, :2].max() == 0.0


@pytest.mark.parametrize("friction", [0.0, 0.1, 0.3])
def test_the_ground_slows_a_sliding_object_by_its_friction(friction):
    task = moving(x=0.4, start=(-0.2, 0.1, 0.0), ground_friction=friction)
    done = simulate(task, WAITING)
    t = np.minimum(task.times, 1.0 / max(friction * GRAVITY, 1e-9))
    expected = -0.2 + t - friction * GRAVITY * t**2 / 2
    np.testing.assert_allclose(done.poses[:, 0], expected, atol=3e-3)


def test_friction_can_be_set_for_a_run():
    task = moving(x=0.4, start=(-0.2, 0.1, 0.0), ground_friction=0.3)
    done = simulate(task, WAITING, physics=Physics(ground_friction=0.0))
    np.testing.assert_allclose(done.poses[:, 0], task.poses[:, 0], atol=1e-3)


@pytest.mark.parametrize("way", ["forces", "targets"])
def test_a_square_is_carried_between_two_fingers(way):
    task = moving(x=0.1, y=0.05)
    squeeze = np.tile([[20.0, GRAVITY / 2], [-20.0, GRAVITY / 2]], (5, 1, 1))
    if way == "forces":
        done = simulate(task, beside(task), squeeze)
    else:
        done = simulate(task, beside(task) + squeeze / 10_000.0)
    assert trajectory_loss(done.poses, task.poses) < 0.01
    assert done.contact[:, :2].min() > 0.95
    np.testing.assert_allclose(done.forces[:, :2], squeeze[:4], atol=2.5)


def test_a_grip_that_is_too_light_for_its_friction_slips():
    task = moving()
    fingers = beside(task)
    light = np.tile([[5.0, GRAVITY / 2], [-5.0, GRAVITY / 2]], (5, 1, 1))
    assert trajectory_loss(simulate(task, fingers, light).poses, task.poses) > 4.0
    rough = Physics(finger_friction=1.5)
    assert trajectory_loss(simulate(task, fingers, light, rough).poses, task.poses) < 0.01


def test_logged_forces_change_the_momentum_as_newton_says():
    task = make_task("train", 0)
    rest = np.random.default_rng(0).normal(0, 0.005, (5, 2, 2))
    world = World(task)
    velocity = world.velocity()
    for target in simulate_targets(task) + rest:
        forces, _ = world.command(target)
        now = world.velocity()
        impulse = (forces.sum(axis=0) - [0.0, GRAVITY]) * task.dt * task.polygon.mass
        if forces.any():
            np.testing.assert_allclose(now[:2] - velocity[:2], impulse, atol=1e-6)
        velocity = now
    assert np.abs(forces[:2]).max() > 0.5


def simulate_targets(task: Task) -> np.ndarray:
    """Targets under the object on both sides of its centroid: it lies on the fingers for a while."""
    return np.stack([pose[:2] + np.array([[-0.04, -0.1], [0.04, -0.1]]) for pose in task.poses])


def test_fingers_in_the_air_follow_the_spline():
    task = moving(start=(0.0, 1.5, 0.0))
    targets = np.array(AWAY) + np.random.default_rng(0).normal(0, 0.02, (5, 2, 2))
    np.testing.assert_allclose(simulate(task, targets).fingers, targets, atol=2e-3)


def test_fingers_inside_the_object_are_put_on_its_surface_and_press():
    task = moving()
    world = World(task)
    np.testing.assert_array_equal(world.fingers()[0], HOME)
    world.command(beside(task, gap=-0.01)[0])
    np.testing.assert_allclose(world.fingers()[0], beside(task)[0], atol=1e-12)
    forces, contact = world.command(beside(task, gap=-0.01)[1])
    assert 60 < forces[0, 0] < 70 and -70 < forces[1, 0] < -60 and contact[:2].min() > 0.9


def test_fingers_are_as_strong_as_they_are_told():
    task = moving(start=(0.0, 0.1, 0.0))
    world = World(task, Physics(max_force=30.0))
    for target in beside(task, gap=-0.05)[:2]:
        forces, _ = world.command(target)
    np.testing.assert_allclose(forces[:2, 0], [30.0, -30.0], atol=1.0)


def test_fingers_are_put_down_moving_with_the_object():
    task = moving(x=0.2, turn=0.5)
    world = World(task)
    world.command(beside(task)[0])
    omega = 0.5 / 0.4
    np.testing.assert_allclose(world.fingers()[1], [[0.5, -0.1 * omega], [0.5, 0.1 * omega]], atol=1e-9)


def test_fingers_pass_the_ground_and_each_other():
    task = moving(start=(0.0, 1.5, 0.0))
    left, right = np.array([-0.3, 0.05]), np.array([0.3, 0.05])
    swap = np.stack([np.stack([left + (right - left) * s, right + (left - right) * s]) for s in np.linspace(0, 1, 5)])
    swap[..., 1] -= 0.1 * np.linspace(0, 1, 5)[:, None]
    np.testing.assert_allclose(simulate(task, swap).fingers, swap, atol=2e-3)


def test_runs_repeat_bit_by_bit():
    task = make_task("train", 0)
    first, second = (simulate(task, simulate_targets(task)) for _ in range(2))
    for name in ("poses", "fingers", "forces", "contact"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_the_trace_has_a_row_every_ten_milliseconds():
    task = make_task("train", 0)
    world = World(task)
    for target in simulate_targets(task):
        world.command(target)
    trace = np.array(world.trace)
    assert trace.shape == (41, 7)
    np.testing.assert_array_equal(trace[-1, :3], world.pose())
    np.testing.assert_array_equal(trace[-1, 3:], world.fingers()[0].ravel())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 12), st.booleans())
def test_insets_are_shapelys(seed, facets, smooth):
    generator = np.random.default_rng(seed)
    polygon = smooth_polygon(generator) if smooth else random_polygon(generator, facets)
    small = shapely.Polygon(inset(polygon, FINGER_RADIUS))
    oracle = shapely.Polygon(polygon.vertices).buffer(-FINGER_RADIUS, join_style="mitre", mitre_limit=50)
    assert small.is_valid and small.exterior.is_ccw
    assert small.symmetric_difference(oracle).area < 1e-9


def test_every_object_of_every_set_has_room_for_fingers():
    for name, entry in SETS.items():
        for index in range(entry.size):
            polygon = make_task(name, index).polygon
            assert len(inset(polygon, FINGER_RADIUS)) == len(polygon.vertices)


def test_a_splinter_is_too_thin_for_fingers():
    with pytest.raises(ValueError, match="too thin"):
        inset(Polygon.from_points(np.array([[0, 0], [0.2, 0], [0.2, 0.006], [0, 0.006]])), FINGER_RADIUS)


def test_the_loss_is_the_papers():
    desired = np.zeros((5, 3))
    poses = desired.copy()
    poses[2] = [0.03, -0.04, math.pi / 2]
    assert trajectory_loss(poses, desired) == pytest.approx((3**2 + 4**2 + 3**2) / 15)
    assert trajectory_loss(np.stack([poses, desired]), desired).shape == (2,)
    turned = desired + [0.0, 0.0, 2 * math.pi]
    assert trajectory_loss(turned, desired) == pytest.approx(0.0, abs=1e-20)


def test_bad_numbers_are_refused():
    task = moving()
    with pytest.raises(ValueError, match=r"fingers must be finite numbers \(5, 2, 2\)"):
        simulate(task, np.zeros((4, 2, 2)))
    with pytest.raises(ValueError, match="forces must be finite"):
        simulate(task, WAITING, np.full((5, 2, 2), np.nan))
    with pytest.raises(ValueError, match="no whole number of steps"):
        interval_steps(task, Physics(dt=0.003))
    for options in (
        {"dt": 0.0},
        {"max_force": 0.0},
        {"stiffness": -1.0},
        {"finger_friction": -0.1},
        {"ground_friction": math.nan},
    ):
        with pytest.raises(ValueError, match=next(iter(options))):
            Physics(**options)
