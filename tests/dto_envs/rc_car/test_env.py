"""What the RC car's environments share: commands, states, dynamics, control rates, pictures."""

import json
import math
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import dto_envs
from dto_envs.rc_car.car import initial_state, rollout
from dto_envs.rc_car.env import ACTIONS, POSE, STATE, VELOCITY
from dto_envs.rc_car.learned import CarNetwork, write_network
from dto_envs.rc_car.learned import rollout as predict
from dto_envs.wrappers import ActionChunk, FilterAction

IDS = [env_id for env_id in dto_envs.ENVS if "RCCar" in env_id]
PARKING, RACE = "dto/RCCarParking-v0", "dto/RCCarRace-v0"
MOVING = [0.3, -0.2, 0.4, 1.5, 0.1, -0.5]
every_id = pytest.mark.parametrize("env_id", IDS)


def actions(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


def small_network(seed: int, dt: float = 0.05, past: int = 2) -> CarNetwork:
    """A network with random weights, damped so that its car stays slow."""
    generator, width = np.random.default_rng(seed), 3 + 2 * past
    shapes = [(8, width), (3, 8)]
    arrays = [generator.normal(scale=0.3, size=shape).astype(np.float32) for shape in shapes]
    ones = np.ones(width, dtype=np.float32)
    return CarNetwork(
        weights=tuple(arrays),
        biases=(np.zeros(8, dtype=np.float32), np.full(3, 0.1 * seed, dtype=np.float32)),
        input_mean=0 * ones,
        input_scale=ones,
        output_mean=np.zeros(3, dtype=np.float32),
        output_scale=np.full(3, 0.2, dtype=np.float32),
        dt=dt,
        actions=past,
    )


@pytest.fixture
def models(tmp_path) -> list[str]:
    paths = [str(tmp_path / f"seed{seed}.safetensors") for seed in (1, 2, 3)]
    for seed, path in enumerate(paths, start=1):
        write_network(path, small_network(seed, past=1 + seed), {})
    return paths


@every_id
def test_observations_hold_the_cars_state_and_the_last_actions(env_id):
    env = gymnasium.make(env_id)
    first, _ = env.reset(seed=0)
    np.testing.assert_array_equal(first[ACTIONS], 0)
    expected = rollout(initial_state(first[None, POSE], first[None, VELOCITY]), 2 * actions(12)[None])[0]
    for step, action in enumerate(actions(12), start=1):
        observation = env.step(2 * action)[0]
        np.testing.assert_array_equal(observation[STATE], expected[step, :6])
    np.testing.assert_array_equal(observation[ACTIONS].reshape(10, 2), np.clip(2 * actions(12)[2:], -1, 1))
    np.testing.assert_array_equal(env.unwrapped.state, observation[STATE])
    assert env.unwrapped.time == pytest.approx(0.6)


@every_id
def test_a_state_can_be_restored_and_replayed(env_id):
    env = gymnasium.make(env_id)
    runs = []
    for _ in range(2):
        observation, info = env.reset(options={"state": MOVING})
        np.testing.assert_array_equal(observation[STATE], MOVING)
        runs.append([info["init_hash"], *(env.step(action)[0].tobytes() for action in actions(5))])
    assert runs[0] == runs[1]


@every_id
def test_slip_is_reported_and_its_largest_value_kept(env_id):
    env = gymnasium.make(env_id)
    _, info = env.reset(options={"state": [0.0, 0.0, 0.0, 2.5, 0.0, 0.0]})
    largest = 0.0
    for _ in range(14):
        info = env.step(np.array([1.0, 0.3], dtype=np.float32))[4]
        largest = max(largest, abs(info["slip"]))
        assert info["largest_slip"] == largest and "uncertainty" not in info
    assert largest > 1.0


def test_at_50_hz_the_rate_limit_stays_the_same_per_second():
    env = gymnasium.make(RACE, control_frequency=50, max_episode_steps=1000)
    slow, fast = dto_envs.row(RACE).layout, env.unwrapped.action_layout
    assert fast.dt == 0.02 and fast.bound / fast.dt == pytest.approx(slow.bound / slow.dt)
    assert env.metadata["render_fps"] == 50
    env.reset(options={"state": MOVING})
    for _ in range(50):
        observation = env.step(np.array([0.2, 0.1], dtype=np.float32))[0]
    assert env.unwrapped.time == pytest.approx(1.0)
    usual = gymnasium.make(RACE)
    usual.reset(options={"state": MOVING})
    for _ in range(20):
        expected = usual.step(np.array([0.2, 0.1], dtype=np.float32))[0]
    np.testing.assert_allclose(observation[POSE], expected[POSE], atol=0.02)


def test_a_delay_puts_actions_off():
    env = gymnasium.make(PARKING, delay=0.1)
    start, _ = env.reset(seed=0)
    poses = [env.step(np.array([0.5, 0.0], dtype=np.float32))[0][POSE] for _ in range(4)]
    assert [bool((pose != start[POSE]).any()) for pose in poses] == [False, False, True, True]


def test_process_noise_comes_from_the_seed():
    def final(seed: int, noise: float) -> np.ndarray:
        env = gymnasium.make("dto/RCCarDriftTurn-v0", process_noise=noise)
        env.reset(seed=seed)
        env.reset(seed=seed, options={"state": MOVING})
        return [env.step(action)[0] for action in actions(20)][-1][POSE]

    np.testing.assert_array_equal(final(1, 0.05), final(1, 0.05))
    apart = np.abs(final(1, 0.05) - final(2, 0.05))
    assert 1e-4 < apart.max() < 0.5
    np.testing.assert_array_equal(final(1, 0.0), final(2, 0.0))


def test_learned_dynamics_move_the_car_as_the_network_predicts(models):
    env = gymnasium.make(PARKING, dynamics="learned", models=models[1])
    env.reset(options={"state": MOVING})
    steps = [env.step(action) for action in actions(8)]
    expected = predict(small_network(2, past=3), np.array(MOVING), actions(8)[None].astype(np.float64))[0]
    for step, state in zip(steps, expected[1:], strict=True):
        np.testing.assert_allclose(step[0][STATE], state, rtol=0, atol=1e-9)
        assert step[4]["uncertainty"] == 0.0


def test_an_ensemble_moves_by_its_mean_and_says_how_much_it_disagrees(models):
    env = gymnasium.make(RACE, dynamics="learned", models=models)
    _, info = env.reset(options={"state": MOVING})
    assert info["uncertainty"] == 0.0
    observation, *_, info = env.step(actions(1)[0])
    networks = [small_network(seed, past=1 + seed) for seed in (1, 2, 3)]
    velocities = np.array([predict(n, np.array(MOVING), actions(1)[None].astype(float))[0, 1, 3:] for n in networks])
    np.testing.assert_allclose(observation[VELOCITY], velocities.mean(axis=0), atol=1e-12)
    spread = velocities.std(axis=0) * [1, 1, 0.13]
    assert info["uncertainty"] == pytest.approx(np.linalg.norm(spread)) and info["uncertainty"] > 0
    rebuilt = gymnasium.make(type(env.spec).from_json(env.spec.to_json()))
    rebuilt.reset(options={"state": MOVING})
    np.testing.assert_array_equal(rebuilt.step(actions(1)[0])[0], observation)


def test_a_model_of_another_rate_is_refused_by_name(tmp_path):
    path = tmp_path / "real.safetensors"
    write_network(path, small_network(0, dt=1 / 30), {})
    with pytest.raises(ValueError, match="control_frequency=30"):
        gymnasium.make(PARKING, dynamics="learned", models=str(path))
    env = gymnasium.make(PARKING, dynamics="learned", models=str(path), control_frequency=30)
    env.reset(seed=0)
    env.step(actions(1)[0])


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"dynamics": "magic"}, "dynamics is 'magic'; choose one of 'analytic', 'learned'"),
        ({"dynamics": "learned", "models": "nowhere.safetensors"}, "no file 'nowhere.safetensors'"),
        ({"dynamics": "learned", "models": []}, "models is empty"),
        ({"dynamics": "learned", "delay": 0.1}, "delay and process_noise belong to"),
        ({"delay": -0.1}, "delay is -0.1"),
        ({"process_noise": -1.0}, "process_noise is -1.0"),
        ({"control_frequency": 0}, "control_frequency is 0; choose 5 to 240 Hz"),
        ({"control_frequency": math.nan}, "control_frequency is nan"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        gymnasium.make(PARKING, **kwargs)


@pytest.mark.parametrize("state", [[0.0] * 5, [0.0] * 5 + [math.nan], "here", None, [[0.0] * 6]])
def test_states_that_are_none_are_refused(state):
    with pytest.raises(ValueError, match=r"options\['state'\] must be six"):
        gymnasium.make(PARKING).reset(options={"state": state})


def test_options_actions_and_order_are_checked():
    env = gymnasium.make(RACE).unwrapped
    for call in (lambda: env.step(np.zeros(2)), lambda: env.state):
        with pytest.raises(gymnasium.error.ResetNeeded):
            call()
    with pytest.raises(ValueError, match="unknown reset options.*knows 'state'"):
        env.reset(options={"place": 1})
    env.reset(seed=0)
    for action in (np.zeros(3), 0.5, "left"):
        with pytest.raises(ValueError, match="an action is two numbers"):
            env.step(action)
    with pytest.raises(ValueError, match="must be finite"):
        env.step(np.array([math.nan, 0.0]))


def test_rate_limits_apply_through_filters():
    env = FilterAction(gymnasium.make(PARKING), "clipping")
    env.reset(seed=0)
    env.step(np.array([-1.0, -1.0], dtype=np.float32))
    executed = env.step(np.array([1.0, 1.0], dtype=np.float32))[4]["executed_action"]
    np.testing.assert_allclose(executed, [-0.5, -0.5], atol=1e-6)


def test_images_nobody_looks_at_are_black_and_leave_no_trace():
    chunk = actions(6)
    seen = ActionChunk(gymnasium.make(RACE, obs_type="state_image"), 6)
    unseen = ActionChunk(gymnasium.make(RACE, obs_type="state_image"), 6, n_obs_steps=1)
    for env in (seen, unseen):
        env.reset(seed=3)
    a, b = seen.step(chunk)[0], unseen.step(chunk)[0]
    np.testing.assert_array_equal(a["state"], b["state"])
    np.testing.assert_array_equal(a["image"], b["image"])
    env = gymnasium.make(RACE, obs_type="image")
    env.reset(seed=0)
    env.unwrapped.draw_images = False
    assert env.step(chunk[0])[0].max() == 0


def test_a_window_needs_a_screen():
    code = f"import gymnasium, dto_envs; gymnasium.make({PARKING!r}, render_mode='human')"
    clean = {"PATH": "/usr/bin", "HOME": "/"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean)
    assert "RuntimeError: render_mode='human' needs a screen" in done.stderr


def test_frames_reach_a_window():
    code = f"""
import gymnasium, dto_envs
env = gymnasium.make({RACE!r}, render_mode="human", control_frequency=240)
env.reset(seed=0)
for _ in range(3):
    env.step(env.action_space.high)
env.close()
"""
    clean = {"PATH": "/usr/bin", "HOME": "/", "SDL_VIDEODRIVER": "dummy"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr


@every_id
def test_specs_are_plain(env_id):
    env = gymnasium.make(env_id, control_frequency=25, process_noise=0.01)
    assert json.loads(env.spec.to_json())["kwargs"]["control_frequency"] == 25


@pytest.mark.parametrize("env_id", [PARKING, "dto/RCCarDriftTurn-v0"])
def test_the_shipped_networks_drive_about_as_the_analytic_car_does(env_id):
    gentle = np.clip(np.random.default_rng(3).normal((0.25, 0.0), 0.2, (20, 2)), -1, 1).astype(np.float32)
    ends = []
    for dynamics in ("analytic", "learned"):
        env = gymnasium.make(env_id, dynamics=dynamics)
        env.reset(seed=5)
        for action in gentle:
            observation, *_, info = env.step(action)
        ends.append(observation[POSE])
    moved = np.linalg.norm(ends[0][:2])
    assert moved > 0.3 and np.linalg.norm(ends[0][:2] - ends[1][:2]) < 0.15 * moved
    assert 0 < info["uncertainty"] < 0.2


def test_the_real_cars_networks_need_its_rate():
    with pytest.raises(ValueError, match="control_frequency=30"):
        gymnasium.make(RACE, dynamics="learned", models="real")
    env = gymnasium.make(RACE, dynamics="learned", models="real", control_frequency=30)
    env.reset(seed=0)
    for _ in range(30):
        observation = env.step(np.array([0.3, 0.0], dtype=np.float32))[0]
    assert np.isfinite(observation).all() and np.linalg.norm(observation[VELOCITY]) > 0.1
