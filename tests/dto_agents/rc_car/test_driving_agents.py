"""The planning agents: what they refuse, what they see, how they drive, how their members are found."""

from __future__ import annotations

import shutil

import gymnasium
import numpy as np
import pytest

import dto_envs  # noqa: F401
from dto_agents.catalogue import compose, make_agent, members
from dto_agents.rc_car.driving_agents import (
    DrivingAgent,
    FullState,
    ManoeuvreDriver,
    OpenLoopDriver,
    RaceDriver,
    Racing,
    later,
    make_expert,
    observed_state,
    recent_actions,
)
from dto_agents.rc_car.dynamics import AnalyticDynamics, LearnedDynamics
from dto_agents.rc_car.laps import drive_laps
from dto_agents.rc_car.missions import Effort, missions, plan_mission
from dto_agents.zoo import DamagedWeightsError, MissingWeightsError
from dto_envs.rc_car.env import ACTIONS
from dto_envs.rc_car.learned import SHIPPED, list_models, read_network
from dto_envs.rc_car.scenarios import SCENARIOS
from dto_envs.rc_car.tracks import get_track

TURN = "dto/RCCarDriftTurn-v0"
LITTLE = Effort(starts=2, iterations=30, polish_iterations=5, replan_iterations=5)
DYNAMICS = LearnedDynamics(read_network(list_models("simulated")[0]))


def drive(agent, env_id, seed=3, steps=None):
    env = gymnasium.make(env_id)
    observation, info = env.reset(seed=seed)
    agent.reset([seed])
    observations = [observation]
    while steps is None or len(observations) <= steps:
        for action in agent.act(observation[None])[0]:
            observation, _, terminated, truncated, info = env.step(action)
            observations.append(observation)
            if terminated or truncated:
                return np.array(observations), info
    return np.array(observations), info


def test_replanning_drives_the_turn_that_the_network_has_never_seen():
    agent = DrivingAgent(lambda: ManoeuvreDriver(DYNAMICS, observed_state, SCENARIOS["DriftTurn"], Effort(starts=4)))
    _, info = drive(agent, TURN)
    assert info["success"] and info["position_error"] < 0.1 and info["largest_slip"] > 0.3


def test_an_open_loop_plan_is_one_chunk():
    agent = DrivingAgent(lambda: OpenLoopDriver(DYNAMICS, observed_state, SCENARIOS["DriftTurn"], LITTLE))
    observation, _ = gymnasium.make(TURN).reset(seed=1)
    agent.reset([1])
    chunk = agent.act(observation[None])
    assert chunk.shape == (1, 60, 2) and chunk.dtype == np.float32 and np.abs(chunk).max() <= 1


def test_rows_do_not_know_of_each_other():
    env = gymnasium.make(TURN)
    observations = np.stack([env.reset(seed=seed)[0] for seed in (1, 2)])
    agent = DrivingAgent(lambda: OpenLoopDriver(DYNAMICS, observed_state, SCENARIOS["DriftTurn"], LITTLE))
    agent.reset([1, 2])
    together = agent.act(observations)
    agent.reset([2])
    np.testing.assert_array_equal(agent.act(observations[1:]), together[1:])


def test_an_episode_that_is_over_is_not_planned_again():
    asked = []

    class Driver:
        def act(self, observation):
            asked.append(observation[0])
            return np.zeros((1, 2))

    agent = DrivingAgent(Driver)
    agent.reset([0, 1])
    agent.act(np.array([[1.0], [2.0]]))
    agent.act(np.array([[1.0], [3.0]]))
    assert asked == [1.0, 2.0, 3.0]


def test_after_the_end_of_the_time_a_driver_coasts():
    driver = ManoeuvreDriver(DYNAMICS, observed_state, SCENARIOS["DriftTurn"], LITTLE)
    observations, _ = drive(DrivingAgent(lambda: driver), TURN)
    np.testing.assert_array_equal(driver.act(observations[-1]), 0)


def test_the_expert_follows_the_hidden_state_of_the_car():
    env = gymnasium.make(TURN)
    observation, _ = env.reset(seed=5)
    follow = FullState(AnalyticDynamics())
    rng = np.random.default_rng(0)
    for _ in range(20):
        np.testing.assert_allclose(follow(observation), env.unwrapped._motion._full, atol=1e-9)
        observation, *_ = env.step(rng.uniform(-1, 1, 2).astype(np.float32))


def test_what_is_observed_of_past_actions():
    observation = np.zeros(40)
    observation[ACTIONS] = np.arange(20)
    past, last = recent_actions(observation, 2)
    np.testing.assert_array_equal(past, [[16, 17], [18, 19]])
    np.testing.assert_array_equal(last, [18, 19])
    assert recent_actions(observation, 0)[0].shape == (0, 2)
    with pytest.raises(ValueError, match="reads 11 past actions"):
        recent_actions(observation, 11)


def test_a_plan_seen_later_goes_on():
    controls = np.array([[0.0, 0], [1, 2], [2, 4]])
    np.testing.assert_allclose(later(controls, 1.0), [[1, 2], [2, 4], [2, 4]])
    np.testing.assert_allclose(later(controls, 0.4), [[0.4, 0.8], [1.4, 2.8], [2, 4]])


def test_half_a_turn_can_be_made_either_way():
    ends = {mission.headings[1] for mission in missions(SCENARIOS["Parking"], 0.0, 0.05)}
    assert len(ends) == 2 and max(ends) - min(ends) == pytest.approx(2 * np.pi)
    scenario = SCENARIOS["DriftTurn"]
    assert all(mission.steps == 60 for mission in missions(scenario, 0.0, 0.05))


def test_planning_reports_what_it_expects():
    start = np.array([0, 0, 0, 2.3, 0, 0.0])
    mission, plan = plan_mission(DYNAMICS, SCENARIOS["DriftTurn"], start, effort=LITTLE)
    assert plan.found is not None
    np.testing.assert_array_equal(plan.states[0], start)
    assert len(plan.controls) == mission.steps


def test_laps_are_finished_on_the_track():
    laps = drive_laps(DYNAMICS, get_track("oval"), Racing(speed=2.0, iterations=6), rate=20.0, laps=1)
    assert len(laps.lap_times) == 1 and 6 < laps.lap_times[0] < 12
    assert laps.excursions == 0 and laps.offsets.max() < 0.4 and laps.diverged == 0
    assert len(laps.cpu) == len(laps.wall) == len(laps.controls)
    assert np.abs(np.diff(laps.controls, axis=0)).max() <= 0.5 + 1e-9


def test_fifty_ticks_a_second_keep_the_rate_limit_of_a_second():
    laps = drive_laps(DYNAMICS, get_track("oval"), Racing(speed=1.0, iterations=2), rate=50.0, laps=0)
    assert np.abs(np.diff(laps.controls, axis=0)).max() <= 0.2 + 1e-9


def test_racing_counts_plans_that_diverged_and_goes_on():
    driver = RaceDriver(DYNAMICS, observed_state, Racing(iterations=2))
    start = np.array([0, 0, 0, np.nan, 0, 0])
    plan = driver.plan(get_track("oval"), start, np.zeros((DYNAMICS.recorded, 2)), np.zeros(2))
    assert driver.diverged == 1 and np.isfinite(plan).all()


@pytest.mark.parametrize("name", ["rc-car-plan", "rc-car-mpc"])
def test_members_are_the_shipped_networks(name):
    found = members(name, TURN)
    assert [member.name for member in found] == ["seed42", "seed142", "seed242"]
    assert all(len(sha) == 64 for member in found for sha in member.weights.values())
    assert compose("slow", base=name, filter="clipping").base == name
    assert isinstance(make_agent(name, TURN, "seed142"), DrivingAgent)


def test_networks_of_ones_own(tmp_path):
    (tmp_path / "simulated").mkdir()
    for suffix in (".safetensors", ".json"):
        shutil.copy(SHIPPED / "simulated" / f"seed42{suffix}", tmp_path / "simulated" / f"seed7{suffix}")
    assert [member.name for member in members("rc-car-mpc", TURN, weights=tmp_path)] == ["seed7"]
    with pytest.raises(MissingWeightsError, match="no member 'seed42'"):
        make_agent("rc-car-mpc", TURN, "seed42", weights=tmp_path)
    (tmp_path / "simulated" / "seed7.safetensors").write_bytes(b"nothing")
    with pytest.raises(DamagedWeightsError, match="its card says"):
        members("rc-car-mpc", TURN, weights=tmp_path)
    with pytest.raises(MissingWeightsError, match="dto-train --agent rc-car-dynamics"):
        members("rc-car-mpc", TURN, weights=tmp_path / "elsewhere")


def test_other_environments_get_one_clear_error():
    for name in ("rc-car-plan", "rc-car-mpc"):
        with pytest.raises(ValueError, match="drives the RC car; dto/PushT-v0 is not one of dto/RCCarParking-v0"):
            members(name, "dto/PushT-v0")
    with pytest.raises(ValueError, match="take rc-car-mpc"):
        members("rc-car-plan", "dto/RCCarRace-v0")
    with pytest.raises(ValueError, match="drives the RC car"):
        make_expert("dto/PushT-v0")


def test_the_expert_is_known_by_name():
    assert isinstance(make_agent("expert", "dto/RCCarRace-v0"), DrivingAgent)
    observations, info = drive(make_agent("expert", "dto/RCCarRace-v0"), "dto/RCCarRace-v0", steps=20)
    assert info["progress"] > 0 and info["excursions"] == 0
