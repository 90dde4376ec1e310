from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from dto_agents.rc_car.baselines import constant_twist
from dto_agents.rc_car.logs import Log, body_velocities
from dto_agents.rc_car.validation import (
    as_predictor,
    final_pose_errors,
    trajectory_validation_error,
    validation_starts,
)
from dto_envs.rc_car import car
from dto_envs.rc_car.learned import CarNetwork


def recorded(count: int = 3, steps: int = 30, seed: int = 0) -> list[Log]:
    """Drives of the analytic car at 20 Hz under random controls."""
    rng = np.random.default_rng(seed)
    poses, velocities = rng.normal(size=(count, 3)), rng.normal(size=(count, 3)) * 0.3
    controls = np.repeat(rng.uniform(-1, 1, (count, (steps + 5) // 5 + 1, 2)), 5, axis=1)[:, : steps + 1]
    path = car.rollout(car.initial_state(poses, velocities), controls[:, :-1])
    t = np.arange(steps + 1) * 0.05
    return [Log(t, one[:, car.POSE], u, 0.05) for one, u in zip(path, controls, strict=True)]


def network(seed: int, actions: int) -> CarNetwork:
    rng = np.random.default_rng(seed)
    sizes = [3 + 2 * actions, 8, 3]
    return CarNetwork(
        weights=tuple(rng.normal(size=(b, a)).astype(np.float32) * 0.3 for a, b in zip(sizes, sizes[1:], strict=False)),
        biases=tuple(rng.normal(size=b).astype(np.float32) * 0.1 for b in sizes[1:]),
        input_mean=np.zeros(sizes[0], np.float32),
        input_scale=np.ones(sizes[0], np.float32),
        output_mean=np.zeros(3, np.float32),
        output_scale=np.ones(3, np.float32),
        dt=0.05,
        residual=False,
        actions=actions,
    )


def test_starts_carry_what_a_model_needs():
    logs = recorded()
    starts = validation_starts(logs, 0.05)
    assert starts.controls.shape == (3, 20, 2) and starts.poses.shape == (3, 21, 3) and starts.past.shape == (3, 10, 2)
    np.testing.assert_array_equal(starts.states[:, :3], starts.poses[:, 0])
    np.testing.assert_array_equal(starts.states[1, 3:], body_velocities(logs[1].poses, 0.05)[9])
    np.testing.assert_array_equal(starts.controls[2], logs[2].controls[10:30])
    np.testing.assert_array_equal(starts.past[2], logs[2].controls[:10])


def test_a_model_that_knows_the_car_makes_no_error():
    starts = validation_starts(recorded(), 0.05)

    def know(states, controls, past):
        return np.concatenate([starts.poses, np.zeros((3, 21, 3))], axis=2) + [0, 0, 2 * np.pi, 0, 0, 0]

    assert trajectory_validation_error(know, starts) == pytest.approx(0, abs=1e-9)


def test_the_error_is_the_l1_norm_of_the_last_pose():
    starts = validation_starts(recorded(), 0.05)

    def miss(states, controls, past):
        path = np.concatenate([starts.poses, np.zeros((3, 21, 3))], axis=2)
        path[:, -1, :3] += np.array([[0.3, -0.4, 2 * np.pi - 0.1], [0, 0, 0], [0, 0, np.pi / 2]])
        return path

    np.testing.assert_allclose(final_pose_errors(miss, starts), [0.8, 0, np.pi / 2], atol=1e-9)
    assert trajectory_validation_error(miss, starts) == pytest.approx((0.8 + np.pi / 2) / 3)


def test_a_constant_twist_has_an_error_and_an_overflow_an_infinite_one():
    starts = validation_starts(recorded(), 0.05)
    assert 0.1 < trajectory_validation_error(partial(constant_twist, dt=0.05), starts) < 20
    assert trajectory_validation_error(lambda s, c, p: np.full((3, 21, 6), np.nan), starts) == np.inf


@pytest.mark.parametrize("actions", [1, 3])
def test_an_ensemble_of_one_network_is_the_network(actions):
    starts = validation_starts(recorded(), 0.05)
    one = as_predictor(network(0, actions))(starts.states, starts.controls, starts.past)
    same = as_predictor([network(0, actions)] * 2)(starts.states, starts.controls, starts.past)
    np.testing.assert_allclose(one, same, atol=1e-9)


def test_an_ensemble_moves_with_the_mean_of_its_members_velocities():
    starts = validation_starts(recorded(), 0.05)
    members = [network(seed, 2) for seed in range(3)]
    paths = [as_predictor(member)(starts.states, starts.controls, starts.past) for member in members]
    together = as_predictor(members)(starts.states, starts.controls, starts.past)
    np.testing.assert_allclose(together[:, 1, 3:], np.mean([path[:, 1, 3:] for path in paths], axis=0), atol=1e-9)
    assert not np.allclose(together[:, -1], paths[0][:, -1])


def test_trajectories_that_do_not_fit_are_told():
    logs = recorded()
    with pytest.raises(ValueError, match="equally long"):
        validation_starts([logs[0], logs[1].part(0, 20)], 0.05)
    with pytest.raises(ValueError, match="0.5 s of lead and more"):
        validation_starts([log.part(0, 11) for log in logs], 0.05)
    with pytest.raises(ValueError, match="no multiple of the control rate"):
        validation_starts([replace(log, dt=0.03) for log in logs], 0.05)
