"""The race: laps, gates, excursions, and that short cuts do not count."""

import math

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_envs.rc_car.env import VELOCITY
from dto_envs.rc_car.race import HEADING_ERROR, OFFSET, PREVIEW, PROGRESS, TRACK
from dto_envs.rc_car.tracks import TRACKS

every_track = pytest.mark.parametrize("track", TRACKS)


def follow(observation: np.ndarray, speed: float, side: float = 0.0) -> np.ndarray:
    """A careful driver: the centre line's curvature, corrected by offset and heading, at a steady speed."""
    curve = math.atan(0.26 * observation[PREVIEW][0]) / 0.6
    steering = curve - 1.2 * (observation[OFFSET] - side) - observation[HEADING_ERROR]
    throttle = speed - math.hypot(*observation[VELOCITY][:2])
    return np.clip([throttle, steering], -0.8, 0.8).astype(np.float32)


def place(env: gymnasium.Env, progress: float, offset: float = 0.0, speed: float = 0.0):
    pose = env.unwrapped.track.poses(np.array([progress]), offset)[0]
    return env.reset(options={"state": [*pose, speed, 0.0, 0.0]})


def lap(env: gymnasium.Env, observation: np.ndarray, speed: float = 2.0, side: float = 0.0) -> list[tuple]:
    steps = []
    while not steps or not (steps[-1][2] or steps[-1][3]):
        steps.append(env.step(follow(steps[-1][0] if steps else observation, speed, side)))
    return steps


@every_track
def test_a_lap_on_the_track_is_a_success_and_ends_the_episode(track):
    env = gymnasium.make("dto/RCCarRace-v0", track=track)
    observation, info = env.reset(seed=0)
    assert info["score"] == 0.0 and -0.36 < info["progress"] < -0.24 and info["gate_times"] == ()
    steps = lap(env, observation)
    assert [step[2] for step in steps] == [False] * (len(steps) - 1) + [True]
    last = steps[-1][4]
    assert last["success"] and last["score"] == 1.0 and last["excursions"] == 0
    times = last["gate_times"]
    assert len(times) == 9 and list(times) == sorted(times)
    assert last["lap_time"] == times[8] - times[0] and (len(steps) - 1) * 0.05 <= times[8] <= len(steps) * 0.05
    speeds = [np.hypot(*step[0][VELOCITY][:2]) for step in steps[round(times[0] / 0.05) :]]
    assert last["lap_time"] == pytest.approx(env.unwrapped.track.length / np.mean(speeds), rel=0.03)
    assert all(step[4]["lap_time"] == math.inf and not step[4]["success"] for step in steps[:-1])
    scores = [step[4]["score"] for step in steps]
    assert scores == sorted(scores) and scores[len(scores) // 2] == pytest.approx(0.47, abs=0.1)
    assert sum(step[1] for step in steps) == pytest.approx(1 + 0.3 / env.unwrapped.track.length, abs=0.02)


def test_gate_times_fall_within_steps():
    """At 1 m/s along the straight, gates are as many seconds apart as metres."""
    env = gymnasium.make("dto/RCCarRace-v0", track="oval", max_episode_steps=80)
    observation, _ = place(env, -0.25, speed=1.0)
    for _ in range(50):
        observation, *_, info = env.step(follow(observation, 1.0 + 0.4 / 3.5))
    first, second = info["gate_times"]
    assert first == pytest.approx(0.25, abs=0.01) and second - first == pytest.approx(15.6 / 8, rel=0.01)


def test_leaving_the_track_is_counted_once_each_time_and_spoils_the_lap():
    env = gymnasium.make("dto/RCCarRace-v0")
    observation, _ = env.reset(seed=0)
    infos, rewards = [], []
    for step in range(400):
        side = 0.75 if 40 <= step < 70 or 110 <= step < 140 else 0.0
        observation, reward, terminated, _, info = env.step(follow(observation, 1.8, side))
        infos.append(info)
        rewards.append(reward)
        assert info["off_track"] == (abs(observation[OFFSET]) > 0.4)
        assert info["position_error"] == abs(observation[OFFSET])
        if terminated:
            break
    assert infos[-1]["excursions"] == 2 == sum(reward < -0.5 for reward in rewards)
    assert terminated and not infos[-1]["success"] and math.isfinite(infos[-1]["lap_time"])
    scores = [info["score"] for info in infos]
    assert scores == sorted(scores) and 0.1 < scores[-1] < 0.3


def test_a_short_cut_through_the_infield_covers_nothing():
    """Across the middle of the oval to the other straight and back over the start line: no gates in between."""
    env = gymnasium.make("dto/RCCarRace-v0", terminate_on_success=False)
    place(env, 0.1)
    env.step(np.zeros(2, dtype=np.float32))
    motion, before = env.unwrapped._motion, env.unwrapped.state
    for y in np.linspace(before[1], -before[1], 60):
        motion.reset(np.array([before[0], y, math.pi / 2, 0.0, 0.0, 0.0]))
        info = env.step(np.zeros(2, dtype=np.float32))[4]
    assert info["excursions"] == 1 and not info["off_track"]
    assert info["progress"] < 0.2 and len(info["gate_times"]) == 1


def test_driving_backwards_over_the_start_line_is_no_lap():
    env = gymnasium.make("dto/RCCarRace-v0")
    place(env, 0.2, speed=-1.0)
    for _ in range(40):
        info = env.step(np.array([-0.2, 0.0], dtype=np.float32))[4]
    assert info["progress"] < -0.5 and not info["success"] and len(info["gate_times"]) == 1


def test_after_the_lap_the_race_can_go_on():
    env = gymnasium.make("dto/RCCarRace-v0", terminate_on_success=False, max_episode_steps=220)
    observation, _ = env.reset(seed=1)
    steps = lap(env, observation)
    assert len(steps) == 220 and steps[-1][3] and not steps[-1][2]
    assert steps[-1][4]["success"] and steps[-1][0][PROGRESS] > 16.0 and len(steps[-1][4]["gate_times"]) == 9


@every_track
def test_the_observation_places_the_car_on_its_track(track):
    env = gymnasium.make("dto/RCCarRace-v0", track=track)
    shape = env.unwrapped.track
    for progress in np.arange(0.3, shape.length, 1.7):
        observation, _ = place(env, progress, 0.2)
        assert list(TRACKS)[int(observation[TRACK])] == track
        assert observation[OFFSET] == pytest.approx(0.2) and observation[HEADING_ERROR] == pytest.approx(0, abs=1e-6)
        assert shape.ahead(observation[PROGRESS], progress) == pytest.approx(0, abs=1e-6)
        ahead = shape.curvatures(progress + 0.3 * np.arange(1, 11))
        assert (observation[PREVIEW] == ahead).mean() >= 0.9


def test_a_car_put_off_the_track_has_left_it():
    env = gymnasium.make("dto/RCCarRace-v0")
    _, info = place(env, 3.0, 0.9)
    assert info["off_track"] and info["excursions"] == 1 and info["score"] == 0.0


def test_unknown_tracks_are_refused():
    with pytest.raises(ValueError, match="track is 'ring'; choose one of 'oval', 'L'"):
        gymnasium.make("dto/RCCarRace-v0", track="ring")


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(TRACKS)), st.integers(0, 2**32 - 1))
def test_whatever_is_driven_rewards_scores_and_gates_agree(track, seed):
    """Rewards add up to the lap's share less the excursions; scores and gates only grow; all within their ranges."""
    env = gymnasium.make("dto/RCCarRace-v0", track=track, terminate_on_success=False)
    _, info = env.reset(seed=seed)
    start, total, before = info["progress"], 0.0, info
    generator = np.random.default_rng(seed)
    for _ in range(60):
        action = np.clip(generator.normal((0.4, 0.0), (0.4, 0.5)), -1, 1).astype(np.float32)
        observation, reward, _, _, info = env.step(action)
        total += reward
        assert before["score"] <= info["score"] <= 1.0 and before["excursions"] <= info["excursions"]
        assert info["gate_times"][: len(before["gate_times"])] == before["gate_times"]
        before = info
    length = env.unwrapped.track.length
    assert total == pytest.approx((info["progress"] - start) / length - info["excursions"], abs=1e-9)
    assert -math.pi <= observation[HEADING_ERROR] < math.pi
