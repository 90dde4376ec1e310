import numpy as np
import pytest

from dto_agents.rc_car.logs import Log, body_velocities
from dto_agents.rc_car.prediction import errors, moving_starts

DT = 1 / 30


def circle(samples=120, speed=1.0, dt=DT):
    t = np.arange(samples) * dt
    poses = np.stack([np.sin(speed * t), 1 - np.cos(speed * t), speed * t], axis=1)
    controls = np.stack([np.arange(samples) / samples, -np.arange(samples) / samples], axis=1)
    return Log(t, poses, controls, dt)


def test_a_start_carries_what_was_measured_around_it():
    log = circle()
    starts = moving_starts([log], horizon=30, past=9, stride=7)
    assert len(starts) == len(range(9, 90, 7))
    for i, start in enumerate(range(9, 90, 7)):
        np.testing.assert_array_equal(starts.states[i, :3], log.poses[start])
        np.testing.assert_array_equal(starts.states[i, 3:], body_velocities(log.poses, DT)[start - 1])
        np.testing.assert_array_equal(starts.past[i], log.controls[start - 9 : start])
        np.testing.assert_array_equal(starts.controls[i], log.controls[start : start + 30])
        np.testing.assert_array_equal(starts.poses[i], log.poses[start : start + 31])
        assert starts.starts[i] == log.t[start]


def test_only_starts_that_move_count_and_none_reaches_into_the_next_log():
    still = Log(*(part.copy() for part in (circle().t, circle().poses * 0, circle().controls)), DT)
    both = moving_starts([still, circle()], horizon=30, stride=1)
    alone = moving_starts([circle()], horizon=30, stride=1)
    np.testing.assert_array_equal(both.states, alone.states)


def test_logs_without_a_start_or_with_two_rates_are_refused():
    with pytest.raises(ValueError, match="record a longer drive"):
        moving_starts([circle(samples=35)], horizon=30)
    with pytest.raises(ValueError, match="pass logs of one rate"):
        moving_starts([circle(), circle(dt=0.05)], horizon=30)


def test_heading_errors_are_wrapped():
    predicted = np.array([[[3.0, 4.0, 3.1, 0, 0, 0]]])
    position, heading = errors(predicted, np.array([[[0.0, 0.0, -3.1]]]))
    np.testing.assert_allclose(position, [[5.0]])
    np.testing.assert_allclose(heading, [[2 * np.pi - 6.2]])


def test_picked_starts_stay_together():
    starts = moving_starts([circle()], horizon=30, stride=1)
    picked = starts.pick(np.array([3, 5]))
    np.testing.assert_array_equal(picked.poses, starts.poses[[3, 5]])
    assert len(picked) == 2
