"""Manoeuvres: when they count as done, what they report, and what they pay."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from dto_envs.rc_car.manoeuvre import CANS, TARGET, TARGET_TIME, WAY_POINT, WAY_POINT_TIME
from dto_envs.rc_car.scenarios import SCENARIOS, Scenario, clearance

STEPS = {"Parking": 40, "Reverse": 40, "DriftTurn": 60}
every_scenario = pytest.mark.parametrize("name", SCENARIOS)


def commands(steps: int) -> np.ndarray:
    """A gentle drive (steps, 2)."""
    return np.clip(np.random.default_rng(0).normal(0.1, 0.2, (steps, 2)), -1, 1).astype(np.float32)


def run(env: gymnasium.Env, steps: int) -> list[tuple]:
    """Every step of the gentle drive from seed 0."""
    env.reset(seed=0)
    return [env.step(action) for action in commands(steps)]


def solvable(name: str, **changes) -> tuple[gymnasium.Env, np.ndarray]:
    """An environment whose targets lie on the gentle drive, and the drive's poses (n + 1, 3)."""
    env = gymnasium.make(f"dto/RCCar{name}-v0")
    start = env.reset(seed=0)[0]
    poses = np.array([start[:3], *(step[0][:3] for step in run(env, STEPS[name]))])
    scenario = SCENARIOS[name]
    way = replace(scenario.way_point, pose=tuple(poses[round(scenario.way_point.time / 0.05)]))
    plain = Scenario(name, scenario.start, scenario.speed, way, replace(scenario.target, pose=tuple(poses[-1])), ())
    env.unwrapped.scenario = replace(plain, cans=((9.0, 9.0),), **changes)
    return env, poses


@every_scenario
def test_targets_and_cans_are_observed_and_time_runs_out(name):
    env, scenario = gymnasium.make(f"dto/RCCar{name}-v0"), SCENARIOS[name]
    first, _ = env.reset(seed=0)
    np.testing.assert_array_equal(first[TARGET], scenario.target.pose)
    np.testing.assert_array_equal(first[WAY_POINT], scenario.way_point.pose)
    np.testing.assert_array_equal(first[CANS].reshape(2, 2), [scenario.cans[0], scenario.cans[-1]])
    assert (first[TARGET_TIME], first[WAY_POINT_TIME]) == (scenario.target.time, scenario.way_point.time)
    last = run(env, STEPS[name])[-1][0]
    assert last[TARGET_TIME] == pytest.approx(0.0, abs=1e-9)
    assert last[WAY_POINT_TIME] == pytest.approx(scenario.way_point.time - scenario.target.time)


@every_scenario
def test_success_is_judged_at_the_last_step(name):
    env, _ = solvable(name)
    steps = run(env, STEPS[name])
    assert [step[2] for step in steps] == [False] * (STEPS[name] - 1) + [True]
    assert [step[4]["success"] for step in steps] == [step[2] for step in steps]
    assert [step[4]["score"] for step in steps] == [0.0] * (STEPS[name] - 1) + [1.0]
    info = steps[-1][4]
    assert info["position_error"] == info["heading_error"] == info["way_point_position_error"] == 0.0
    assert steps[-1][1] == pytest.approx(2.0)
    assert steps[round(SCENARIOS[name].way_point.time / 0.05) - 1][1] == pytest.approx(1.0)
    env.unwrapped.terminate_on_success = False
    assert run(env, STEPS[name])[-1][2:4] == (False, True)


@every_scenario
@pytest.mark.parametrize("what", ["target", "way_point"])
@pytest.mark.parametrize("aside, turned", [(1.0, 0.0), (0.0, 1.0)])
def test_within_the_tolerances_is_a_success_and_beyond_is_none(name, what, aside, turned):
    env, _ = solvable(name)
    scenario = env.unwrapped.scenario
    exact = getattr(scenario, what)
    for share, expected in ((0.95, True), (1.05, False)):
        x, y, heading = exact.pose
        moved = x + share * aside * exact.position_tolerance, y, heading + share * turned * exact.heading_tolerance
        env.unwrapped.scenario = replace(scenario, **{what: replace(exact, pose=moved)})
        info = run(env, STEPS[name])[-1][4]
        assert info["success"] is expected
        assert (info["score"] == 1.0) is expected
        prefix = "" if what == "target" else "way_point_"
        assert info[f"{prefix}position_error"] == pytest.approx(share * aside * exact.position_tolerance)
        assert info[f"{prefix}heading_error"] == pytest.approx(share * turned * exact.heading_tolerance)


@every_scenario
def test_a_touched_can_is_remembered_and_spoils_the_success(name):
    env, poses = solvable(name)
    half_way = (poses[10, :2] + poses[11, :2]) / 2
    env.unwrapped.scenario = replace(env.unwrapped.scenario, cans=(tuple(half_way),))
    infos = [step[4] for step in run(env, STEPS[name])]
    touched = [info["touched"] for info in infos]
    assert not infos[-1]["success"] and 0.4 < infos[-1]["score"] <= 0.5
    assert touched == sorted(touched) and touched[-1]
    clearances = [info["clearance"] for info in infos]
    assert clearances == sorted(clearances, reverse=True)
    assert clearances[-1] == pytest.approx(min(clearance(poses, env.unwrapped.scenario.cans)), abs=0.05)


def test_a_can_between_two_steps_is_found():
    """A car that spins quickly sweeps a corner past a can between two steps."""
    env = gymnasium.make("dto/RCCarReverse-v0")
    env.unwrapped.scenario = replace(SCENARIOS["Reverse"], cans=((0.2273, 0.1262),))
    env.reset(options={"state": [0.0, 0.0, -0.55, 0.0, 0.0, 22.0]})
    ends = [env.unwrapped.state[:3]]
    info = env.step(np.zeros(2, dtype=np.float32))[4]
    ends.append(env.unwrapped.state[:3])
    assert info["clearance"] < clearance(np.array(ends), env.unwrapped.scenario.cans).min() - 0.01


@every_scenario
def test_at_another_rate_targets_count_at_the_same_time(name):
    env = gymnasium.make(f"dto/RCCar{name}-v0", control_frequency=50, max_episode_steps=200)
    env.reset(seed=0)
    scores = [env.step(np.zeros(2, dtype=np.float32))[4]["score"] for _ in range(round(2.5 * STEPS[name]))]
    scenario = env.unwrapped.scenario
    assert env.unwrapped.time == pytest.approx(scenario.target.time)
    assert scores[:-1] == [0.0] * (len(scores) - 1)


def test_coming_nearer_pays():
    env = gymnasium.make("dto/RCCarParking-v0")
    totals = []
    for throttle in (-0.5, 0.0, 0.4):
        env.reset(seed=0)
        totals.append(sum(env.step(np.array([throttle, 0], dtype=np.float32))[1] for _ in range(20)))
    assert totals == sorted(totals)


def test_unknown_scenarios_are_refused():
    with pytest.raises(ValueError, match="scenario is 'Wheelie'; choose one of 'Parking', 'Reverse', 'DriftTurn'"):
        gymnasium.make("dto/RCCarParking-v0", scenario="Wheelie")
