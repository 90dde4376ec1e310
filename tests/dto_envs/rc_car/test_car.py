"""The analytic car: what holds for any car on a plane, and the numbers this one is made for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dto_envs.rc_car.car import (
    GRAVITY,
    INSTANT,
    POSE,
    SLIDING,
    VELOCITY,
    CarParameters,
    at_middle,
    initial_state,
    rollout,
    slip_angle,
    state_size,
    steps_of_delay,
    substeps,
)

CAR = CarParameters()
MIRROR_POSE, MIRROR_CONTROL = np.array([1.0, -1.0, -1.0]), np.array([1.0, -1.0])
controls = arrays(np.float64, (2, 15, 2), elements=st.floats(-1.25, 1.25, width=32))
twists = arrays(np.float64, (2, 3), elements=st.floats(-3, 3, width=32))
poses = arrays(np.float64, (3,), elements=st.floats(-5, 5, width=32))
quick = settings(max_examples=40, deadline=None)


def turn(heading: float) -> np.ndarray:
    """The rotation (2, 2) of body axes into the world's."""
    return np.array([[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]])


def drive(velocities, commands, pose=(0.0, 0.0, 0.0), **kwargs) -> np.ndarray:
    velocities = np.atleast_2d(velocities)
    return rollout(initial_state(np.tile(pose, (len(velocities), 1)), velocities), np.asarray(commands), **kwargs)


def energy(trajectory: np.ndarray) -> np.ndarray:
    """Kinetic energy over mass of states (..., S), J/kg."""
    velocity = trajectory[..., INSTANT]
    return 0.5 * (velocity[..., :2] ** 2).sum(-1) + 0.5 * (CAR.inertia_radius * velocity[..., 2]) ** 2


def constant(throttle: float, steering: float, steps: int) -> np.ndarray:
    return np.tile([throttle, steering], (1, steps, 1))


@quick
@given(twists, controls)
def test_left_and_right_are_mirror_images(velocities, commands):
    plain = drive(velocities, commands)
    mirrored = drive(velocities * MIRROR_POSE, commands * MIRROR_CONTROL)
    np.testing.assert_allclose(mirrored[..., POSE], plain[..., POSE] * MIRROR_POSE, atol=1e-9)
    np.testing.assert_allclose(mirrored[..., INSTANT], plain[..., INSTANT] * MIRROR_POSE, atol=1e-9)


@quick
@given(twists, controls, poses)
def test_where_a_car_starts_does_not_matter(velocities, commands, pose):
    plain, moved = drive(velocities, commands), drive(velocities, commands, pose)
    np.testing.assert_allclose(moved[..., 3:], plain[..., 3:], atol=1e-9)
    np.testing.assert_allclose(moved[..., :2], plain[..., :2] @ turn(pose[2]).T + pose[:2], atol=1e-9)
    np.testing.assert_allclose(moved[..., 2], plain[..., 2] + pose[2], atol=1e-9)


@quick
@given(twists, controls, poses)
def test_the_velocity_is_the_displacement_in_the_frame_of_the_steps_start(velocities, commands, pose):
    trajectory = drive(velocities, commands, pose)
    for before, after in zip(trajectory[0], trajectory[0, 1:], strict=False):
        forward_left, yaw = after[VELOCITY][:2], after[VELOCITY][2]
        np.testing.assert_allclose(after[:2], before[:2] + 0.05 * turn(before[2]) @ forward_left, rtol=0, atol=1e-12)
        assert after[2] == pytest.approx(before[2] + 0.05 * yaw, abs=1e-12)


@quick
@given(twists, controls)
def test_without_throttle_energy_never_grows(velocities, commands):
    commands[..., 0] = 0.0
    trajectory = drive(velocities, commands)
    assert (np.diff(energy(trajectory), axis=1) <= 1e-12).all()


@quick
@given(poses, st.floats(-1, 1))
def test_a_car_at_rest_stays_at_rest_whatever_it_steers(pose, steering):
    trajectory = drive(np.zeros(3), constant(0.0, steering, 10), pose)
    np.testing.assert_array_equal(trajectory, np.broadcast_to(trajectory[:, :1], trajectory.shape))


@quick
@given(twists, controls)
def test_cars_of_a_batch_do_not_know_of_each_other(velocities, commands):
    both = drive(velocities, commands)
    for car in range(2):
        np.testing.assert_array_equal(drive(velocities[car], commands[car : car + 1])[0], both[car])


@quick
@given(twists, controls, st.sampled_from([0.0, 0.03, 0.05, 0.12]))
def test_a_rollout_can_be_cut_anywhere(velocities, commands, delay):
    car = CarParameters(delay=delay)
    start = initial_state(np.zeros((2, 3)), velocities, car)
    whole = rollout(start, commands, parameters=car)
    first = rollout(start, commands[:, :6], parameters=car)
    np.testing.assert_array_equal(rollout(first[:, -1], commands[:, 6:], parameters=car), whole[:, 6:])


@quick
@given(st.floats(0.01, 0.6), st.floats(-1, 1))
def test_below_the_static_limit_no_tyre_slides_and_the_car_follows_its_wheels(grip, steering):
    """On the bicycle model's circle at a share of the grip: creep as the relaxation allows, and the same circle."""
    curvature = math.tan(CAR.steering * steering) / (2 * CAR.axle)
    speed = min(math.sqrt(grip * CAR.rear_static * GRAVITY / max(abs(curvature), 1e-9)), 3.0)
    circle = speed * np.array([1.0, CAR.axle * curvature, curvature])
    trajectory = drive(circle, constant(0.0, steering, 12))[0]
    assert (trajectory[:, SLIDING] == 0).all()
    forward, left, yaw = trajectory[-1, INSTANT]
    assert abs(left - CAR.axle * yaw) <= CAR.relaxation * abs(yaw) * speed + 1e-9
    assert abs(slip_angle(trajectory[-1, INSTANT])) < 0.34
    slow = drive(0.1 * circle / speed, constant(0.0, steering, 12))[0, -1, INSTANT]
    assert slow[2] / slow[0] == pytest.approx(curvature, rel=0.05)
    assert slip_angle(slow) == 0.0


def test_beyond_the_static_limit_the_tail_slides_first():
    trajectory = drive([2.5, 0.0, 0.0], constant(1.0, 0.3, 14))[0]
    assert trajectory[1:, SLIDING][:, 2:].min() == 1.0
    assert trajectory[:6, SLIDING][:, :2].max() == 0.0
    assert np.abs(slip_angle(trajectory[:, INSTANT])).max() > 1.0
    gentle = drive([2.5, 0.0, 0.0], constant(0.0, 0.1, 14))[0]
    assert np.abs(slip_angle(gentle[:, INSTANT])).max() < 0.1


def test_acceleration_grows_with_the_throttle_up_to_the_grip_and_drops_beyond():
    """Two of four wheels drive: half the wheels' acceleration is the car's."""
    grip = CAR.rear_static * GRAVITY / CAR.throttle
    speeds = [
        drive(np.zeros(3), constant(throttle, 0.0, 1), dt=1 / 240)[0, -1, 6] for throttle in (0.4, grip - 1e-6, 1)
    ]
    expected = [0.5 * a / 240 for a in (0.4 * CAR.throttle, CAR.rear_static * GRAVITY, CAR.rear_dynamic * GRAVITY)]
    np.testing.assert_allclose(speeds, expected, rtol=0.002)


def test_drag_slows_a_rolling_car_exponentially():
    trajectory = drive([2.0, 0.0, 0.0], constant(0.0, 0.0, 40))[0]
    assert trajectory[-1, 6] == pytest.approx(2.0 * math.exp(-0.4 * 2.0), rel=1e-9)


def human(generator: np.random.Generator, cars: int, steps: int) -> np.ndarray:
    """Commands (cars, steps, 2) of somebody who holds a stick for 0.2 to 1.2 s and moves it in about 0.1 s."""
    commands = np.zeros((cars, steps, 2))
    for row in commands:
        step = 0
        while step < steps:
            hold = generator.integers(4, 25)
            row[step : step + hold] = np.clip(generator.normal((0.1, 0.0), (0.55, 0.8)), -1, 1)
            step += hold
    for step in range(1, steps):
        commands[:, step] = commands[:, step - 1] + 0.4 * (commands[:, step] - commands[:, step - 1])
    return commands


def test_it_drifts_about_as_often_as_the_real_car():
    """The recorded car is beyond 0.3 rad in 12 to 14 % of its moving samples."""
    trajectory = drive(np.zeros((30, 3)), human(np.random.default_rng(0), 30, 600))
    velocity = trajectory[..., INSTANT].reshape(-1, 3)
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    moving = velocity[speed > 0.3]
    assert 0.07 < (np.abs(slip_angle(moving)) > 0.3).mean() < 0.16
    assert 2.5 < speed.max() < 4.0
    assert trajectory[..., SLIDING][..., 2:].mean() > 3 * trajectory[..., SLIDING][..., :2].mean()


def test_the_middle_of_a_step_tells_the_slip_best():
    """In a spin the displacement seen from the step's start lags behind; turned to the middle it fits."""
    trajectory = drive([2.5, 0.0, 0.0], constant(1.0, 0.3, 12))[0]
    instant = slip_angle(trajectory[:, INSTANT])
    halfway = (instant[1:] + instant[:-1]) / 2
    from_start = np.abs(slip_angle(trajectory[1:, VELOCITY]) - halfway).max()
    from_middle = np.abs(slip_angle(at_middle(trajectory[1:, VELOCITY])) - halfway).max()
    assert from_middle < 0.02 < 0.1 < from_start


@pytest.mark.parametrize("rate, parts", [(20, 12), (30, 8), (50, 5), (240, 1), (7, 35)])
def test_a_control_step_is_cut_into_as_few_parts_as_240_hz_allows(rate, parts):
    assert substeps(1 / rate) == parts


def test_control_rates_agree():
    """0.2 s of the same commands at 20 and 50 Hz differ by the integration error only."""
    coarse = drive([1.5, 0.0, 0.0], constant(0.3, 0.4, 4), dt=0.05)[0, -1]
    fine = drive([1.5, 0.0, 0.0], constant(0.3, 0.4, 10), dt=0.02)[0, -1]
    np.testing.assert_allclose(fine[POSE], coarse[POSE], atol=2e-3)


@pytest.mark.parametrize("delay, steps", [(0.0, 0), (0.05, 1), (0.08, 2), (0.1, 2)])
def test_a_delayed_car_does_the_same_later(delay, steps):
    """A delay of whole control steps shifts the answer by exactly those; part of one is answered within a step."""
    car = CarParameters(delay=delay)
    assert steps_of_delay(car) == steps and state_size(car) == 13 + 2 * steps
    commands = human(np.random.default_rng(1), 1, 20)
    late = rollout(initial_state(np.zeros((1, 3)), np.zeros((1, 3)), car), commands, parameters=car)[0]
    if delay == 0.08:
        assert (late[2, POSE] != 0).any() and (late[1, POSE] == 0).all()
        return
    prompt = drive(np.zeros(3), commands)[0]
    np.testing.assert_array_equal(late[steps:, POSE], prompt[: 21 - steps, POSE])
    np.testing.assert_array_equal(late[-1, 13:].reshape(-1, 2), commands[0, 20 - steps :])


def test_noise_pushes_a_moving_car_and_leaves_a_parked_one():
    noise = np.random.default_rng(0).normal(size=(2, 10, 3)) * 0.05
    trajectory = drive([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]], np.zeros((2, 10, 2)), noise=noise)
    assert (trajectory[0, :, POSE] == 0).all()
    plain = drive([2.0, 0.0, 0.0], np.zeros((1, 10, 2)))
    assert 0 < np.abs(trajectory[1, -1, POSE] - plain[0, -1, POSE]).max() < 0.2


def test_controls_beyond_the_range_are_clipped():
    np.testing.assert_array_equal(
        drive([1.0, 0.0, 0.0], constant(3.0, -7.0, 5)), drive([1.0, 0.0, 0.0], constant(1.0, -1.0, 5))
    )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rear_dynamic": 0.9}, "rear_dynamic exceeds rear_static"),
        ({"delay": -0.1}, "delay is -0.1"),
        ({"axle": 0.0}, "axle is 0.0"),
        ({"throttle": math.nan}, "throttle is nan"),
        ({"relaxation": 0.001}, "unstable"),
    ],
)
def test_constants_of_no_car_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CarParameters(**change)


def test_arrays_that_do_not_fit_are_refused():
    start = initial_state(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"poses and velocities must both be \(B, 3\)"):
        initial_state(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match=r"controls must be \(2, n, 2\)"):
        rollout(start, np.zeros((1, 5, 2)))
    with pytest.raises(ValueError, match=r"delay of 0.1 s.*initial_state"):
        rollout(start, np.zeros((2, 5, 2)), parameters=CarParameters(delay=0.1))
    with pytest.raises(ValueError, match="noise must be"):
        rollout(start, np.zeros((2, 5, 2)), noise=np.zeros((2, 4, 3)))
    with pytest.raises(ValueError, match="positive time"):
        rollout(start, np.zeros((2, 5, 2)), dt=-0.05)


def test_rollouts_change_neither_states_nor_controls_and_repeat_to_the_bit():
    states = initial_state(np.zeros((3, 3)), np.array([[2.0, 0.1, 0.5]] * 3))
    commands, noise = human(np.random.default_rng(2), 3, 30), np.full((3, 30, 3), 0.01)
    copies = [array.copy() for array in (states, commands, noise)]
    first, again = (rollout(states, commands, noise=noise) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for array, copy in zip((states, commands, noise), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(rollout(states[::-1][:1], commands[::-1][:1], noise=noise[:1]), first[-1:])
