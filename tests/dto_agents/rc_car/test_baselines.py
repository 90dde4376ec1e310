from types import MappingProxyType

import numpy as np
import pytest

from dto_agents.rc_car.baselines import Bicycle, constant_twist, fit_bicycle, table
from dto_agents.rc_car.logs import Log, body_velocities
from dto_agents.rc_car.prediction import errors, moving_starts

DT = 1 / 30


def bicycle(kind, **changes):
    values = {name: first for name, (first, _, _) in table(kind).items()} | changes
    return Bicycle(kind, MappingProxyType(values), DT)


def drive(model, samples=600, seed=0):
    """A log of a bicycle under slowly changing random controls."""
    generator = np.random.default_rng(seed)
    knots = generator.uniform(-1, 1, (samples // 15 + 2, 2)) * [0.6, 1.0] + [0.3, 0.0]
    at = np.arange(samples) / 15
    controls = np.stack([np.interp(at, np.arange(len(knots)), knot) for knot in knots.T], axis=1)
    controls = np.clip(controls, -1, 1)
    path = model(np.array([[0, 0, 0, 1.0, 0, 0]]), controls[None, 12:], controls[None, :12])[0]
    return Log(np.arange(len(path) - 1) * DT, path[:-1, :3], controls[12:], DT)


def test_a_constant_twist_drives_a_circle():
    t = np.arange(60) * DT
    log = Log(t, np.stack([np.sin(2 * t), 1 - np.cos(2 * t), 2 * t], axis=1), np.zeros((60, 2)), DT)
    starts = moving_starts([log], horizon=30, past=9)
    predicted = constant_twist(starts.states, starts.controls, starts.past, DT)
    np.testing.assert_allclose(predicted[..., :3], starts.poses, atol=1e-9)


@pytest.mark.parametrize("kind", ["kinematic", "dynamic"])
def test_predicted_velocities_are_those_of_the_predicted_poses(kind):
    starts = moving_starts([drive(bicycle(kind))], horizon=30)
    for path in bicycle(kind)(starts.states, starts.controls, starts.past):
        np.testing.assert_allclose(body_velocities(path[:, :3], DT), path[1:, 3:], atol=1e-9)


@pytest.mark.parametrize("kind", ["kinematic", "dynamic"])
@pytest.mark.parametrize(("name", "column"), [("delay_throttle", 0), ("delay_steering", 1)])
def test_a_control_has_no_effect_before_its_delay(kind, name, column):
    model = bicycle(kind, **{"delay_throttle": 0.1, "delay_steering": 0.1, name: 6 * DT})
    state, past = np.array([[0, 0, 0, 1.0, 0, 0]]), np.zeros((1, 12, 2))
    quiet, given = np.zeros((1, 20, 2)), np.zeros((1, 20, 2))
    given[:, :, column] = 1.0
    difference = np.abs(model(state, given, past) - model(state, quiet, past)).max(axis=(0, 2))
    # Held controls are blended over the step before they begin.
    assert np.all(difference[:6] < 1e-12)
    assert difference[7] > 1e-4


def test_positive_steering_turns_left_and_throttle_drives_forward():
    for kind in ("kinematic", "dynamic"):
        controls = np.ones((1, 30, 2)) * [0.5, 0.5]
        path = bicycle(kind)(np.array([[0, 0, 0, 1.0, 0, 0]]), controls, controls[:, :12])
        assert path[0, -1, 0] > 0.5
        assert path[0, -1, 2] > 0.3


def test_a_car_with_little_grip_turns_less():
    controls = np.ones((1, 30, 2)) * [0.5, 1.0]
    turned = [
        bicycle("dynamic", front_d=grip)(np.array([[0, 0, 0, 3.0, 0, 0]]), controls, controls[:, :12])[0, -1, 2]
        for grip in (1.0, 4.0)
    ]
    assert turned[0] < 0.5 * turned[1]


def test_a_fit_predicts_a_car_of_its_kind():
    truth = bicycle("kinematic", delay_throttle=0.15, delay_steering=0.12, motor=4.0, steering_gain=0.45, rear=0.1)
    fitted = fit_bicycle("kinematic", moving_starts([drive(truth)], horizon=30), starts=1, evaluations=25)
    unseen = moving_starts([drive(truth, seed=1)], horizon=30)
    position, heading = errors(fitted(unseen.states, unseen.controls, unseen.past)[:, -1], unseen.poses[:, -1])
    assert np.median(position) < 0.05
    assert np.median(heading) < 0.05
    guess, _ = errors(bicycle("kinematic")(unseen.states, unseen.controls, unseen.past)[:, -1], unseen.poses[:, -1])
    assert np.median(guess) > 3 * np.median(position)
    assert fitted.parameters["steering_gain"] / (
        fitted.parameters["front"] + fitted.parameters["rear"]
    ) == pytest.approx(0.45 / 0.23, rel=0.15)


def test_a_fit_is_repeatable():
    starts = moving_starts([drive(bicycle("dynamic"), samples=120)], horizon=30)
    fits = [fit_bicycle("dynamic", starts, starts=2, evaluations=2) for _ in range(2)]
    assert fits[0] == fits[1]
