"""Push-T's episodes: states, rewards, pictures, and what is refused."""

import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from dto_envs.pusht import PushTEnv, coverage, keypoints
from dto_envs.pusht.env import RESET_HIGH, RESET_LOW

# Agent left of a block that lies on its side; pushing right turns and moves it.
START = [150.0, 300.0, 250.0, 250.0, 0.5]
# The state after ten steps towards (330, 340): a change of any of the physics' constants shows here.
PUSHED = [329.817494839, 339.959443298, 319.484633835, 252.958981162, 5.815596532]


@pytest.fixture
def env():
    return PushTEnv()


def push(env: PushTEnv, target: tuple[float, float], steps: int) -> list:
    return [env.step(np.array(target, dtype=np.float32)) for _ in range(steps)]


def test_a_free_agent_follows_the_pd_controller(env):
    """Without contact the agent's motion has a closed form per substep: semi-implicit Euler of the PD law."""
    env.reset(options={"state": [100.0, 100.0, 400.0, 400.0, 0.0]})
    target = np.array([130.0, 90.0])
    position, velocity = np.array([100.0, 100.0]), np.zeros(2)
    for _ in range(3):
        observation = env.step(target.astype(np.float32))[0]
        for _ in range(10):
            velocity = velocity + (100.0 * (target - position) - 20.0 * velocity) * 0.01
            position = position + velocity * 0.01
        np.testing.assert_allclose(observation[:2], position, rtol=0, atol=1e-10)


def test_the_block_moves_only_when_touched_and_stops_at_once(env):
    env.reset(options={"state": START})
    before = env.state[2:]
    push(env, (160.0, 300.0), 3)
    np.testing.assert_array_equal(env.state[2:], before)
    push(env, (330.0, 300.0), 10)
    pushed = env.state
    assert np.abs(pushed[2:] - before).max() > 10
    push(env, (150.0, 300.0), 10)
    left = env.state
    push(env, (150.0, 300.0), 5)
    np.testing.assert_allclose(env.state[2:], left[2:], rtol=0, atol=1e-9)


def test_walls_hold_the_block(env):
    env.reset(options={"state": [256.0, 200.0, 256.0, 300.0, 0.0]})
    push(env, (256.0, 380.0), 20)
    corners = keypoints(env.state[2:])
    assert corners[:, 1].max() < 506 + 5


def test_observation_is_the_agent_and_the_keypoints_of_the_state(env):
    observation, info = env.reset(options={"state": START})
    np.testing.assert_allclose(env.state, START, rtol=0, atol=1e-12)
    np.testing.assert_allclose(observation[:2], START[:2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(observation[2:].reshape(9, 2), keypoints(np.array(START[2:])), rtol=0, atol=1e-9)
    assert info["coverage"] == pytest.approx(coverage(*START[2:]), abs=1e-12)


def test_initial_states_are_uniform_in_their_ranges(env):
    states = np.array([(env.reset(seed=s), env.state)[1] for s in range(600)])
    states[:, 4] = (states[:, 4] + np.pi) % (2 * np.pi) - np.pi
    assert (states >= RESET_LOW - 1e-9).all() and (states <= RESET_HIGH + 1e-9).all()
    unit = (states - RESET_LOW) / (RESET_HIGH - RESET_LOW)
    ideal = (np.arange(600) + 0.5) / 600
    assert np.abs(np.sort(unit, axis=0) - ideal[:, None]).max() < 1.95 / np.sqrt(600)  # Kolmogorov-Smirnov, p = 0.001


def test_a_seed_and_its_state_continue_alike(env):
    """Restoring the state that a seed drew gives the same hash and the same future, bit for bit."""
    _, drawn = env.reset(seed=11)
    generator, _ = gymnasium.utils.seeding.np_random(11)
    initial = generator.uniform(RESET_LOW, RESET_HIGH)
    first = np.stack([step[0] for step in push(env, tuple(initial[2:4]), 10)])
    _, restored = env.reset(options={"state": initial})
    second = np.stack([step[0] for step in push(env, tuple(initial[2:4]), 10)])
    assert drawn["init_hash"] == restored["init_hash"]
    np.testing.assert_array_equal(first, second)


def test_nothing_of_an_earlier_episode_reaches_the_next(env):
    env.reset(seed=5)
    fresh = np.stack([step[0] for step in push(env, (256.0, 300.0), 20)])
    for seed in range(3):
        env.reset(seed=seed)
        push(env, (300.0, 256.0), 7)
    env.reset(seed=5)
    np.testing.assert_array_equal(np.stack([step[0] for step in push(env, (256.0, 300.0), 20)]), fresh)


def nearly_solved() -> list[float]:
    return [100.0, 100.0, 256.0, 256.0, np.pi / 4]


def test_success_terminates_unless_told_otherwise():
    for terminate in (True, False):
        env = PushTEnv(terminate_on_success=terminate)
        _, info = env.reset(options={"state": nearly_solved()})
        assert info["success"] and info["score"] == 0.0  # nothing has been earned yet
        _, reward, terminated, truncated, info = env.step(np.array([100, 100], dtype=np.float32))
        assert reward == 1.0 and info["success"]
        assert terminated is terminate and truncated is False


def test_score_is_the_largest_reward_so_far(env):
    env.reset(options={"state": [256.0, 100.0, 256.0, 250.0, np.pi / 4]})
    steps = push(env, (256.0, 420.0), 30)
    rewards = [step[1] for step in steps]
    assert rewards[-1] < max(rewards)  # the block is pushed off the goal
    np.testing.assert_array_equal([step[4]["score"] for step in steps], np.maximum.accumulate(rewards))
    assert env.reset()[1]["score"] == 0.0
    for _, reward, _, _, info in steps:
        assert reward == min(info["coverage"] / 0.95, 1.0)
        assert info["success"] == (info["coverage"] > 0.95)


def test_actions_outside_the_board_are_clipped(env):
    outside, inside = [], []
    for result, target in ((outside, (-50.0, 900.0)), (inside, (0.0, 512.0))):
        env.reset(options={"state": START})
        result.extend(step[0] for step in push(env, target, 10))
    np.testing.assert_array_equal(outside, inside)


def test_observations_stay_in_their_space_under_wild_actions():
    env = PushTEnv()
    generator = np.random.default_rng(3)
    for seed in range(20):
        env.reset(seed=seed)
        for _ in range(50):
            observation = env.step(generator.choice([0.0, 512.0], size=2).astype(np.float32))[0]
            assert env.observation_space.contains(observation)


@pytest.mark.parametrize("obs_type", ["state", "image", "state_image"])
def test_observation_types(obs_type):
    env = PushTEnv(obs_type=obs_type)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    if obs_type == "state_image":
        np.testing.assert_array_equal(observation["image"], PushTEnv("image").reset(seed=0)[0])
        np.testing.assert_array_equal(observation["state"], PushTEnv("state").reset(seed=0)[0])


@pytest.mark.parametrize("obs_type", ["state", "image", "state_image"])
def test_images_that_nobody_looks_at_are_black_and_nothing_else_changes(obs_type):
    env, looked_at = PushTEnv(obs_type), PushTEnv("state_image")
    env.draw_images = False
    assert env.reset(seed=1)[0] in env.observation_space
    assert obs_type != "image" or env.reset(seed=1)[0].any()
    looked_at.reset(seed=1)
    for action in ([200.0, 300.0], [310.0, 290.0]):
        observation, *rest = env.step(action)
        expected, *rest_expected = looked_at.step(action)
        assert rest == rest_expected and observation in env.observation_space
        parts = observation if isinstance(observation, dict) else {obs_type: observation}
        assert not parts.get("image", np.zeros(1)).any() and expected["image"].any()
        if "state" in parts:
            np.testing.assert_array_equal(parts["state"], expected["state"])
    env.draw_images = True
    if obs_type == "image":
        np.testing.assert_array_equal(env.step(action)[0], looked_at.step(action)[0]["image"])


def test_pictures_show_agent_block_goal_and_target():
    env = PushTEnv(render_mode="rgb_array")
    env.reset(options={"state": [100.0, 150.0, 350.0, 350.0, 0.0]})
    picture = env.render()
    assert picture.shape == (512, 512, 3) and picture.dtype == np.uint8
    assert tuple(picture[150, 100]) == (78, 126, 255)
    assert tuple(picture[365, 350]) == (143, 163, 184)
    assert tuple(picture[270, 246]) == (144, 238, 144)
    assert tuple(picture[5, 256]) == (211, 211, 211)
    assert tuple(picture[60, 300]) == (255, 255, 255)
    env.step(np.array([300, 60], dtype=np.float32))
    assert tuple(env.render()[60, 300]) == (255, 0, 0)
    assert PushTEnv().render() is None


HUMAN = """
import numpy as np, gymnasium, dto_envs
env = gymnasium.make("dto/PushT-v0", render_mode="human")
env.reset(seed=0)
assert env.step(np.array([200, 200], dtype=np.float32)) and env.render() is None
env.close()
"""


def run_human(**variables: str) -> subprocess.CompletedProcess:
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")}
    return subprocess.run([sys.executable, "-c", HUMAN], env={**kept, **variables}, capture_output=True, text=True)


def test_human_mode_opens_a_window_where_sdl_is_told_which():
    done = run_human(SDL_VIDEODRIVER="dummy")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only there can the screen be taken away by a variable")
def test_human_mode_without_a_screen_says_what_to_do():
    done = run_human()
    assert done.returncode != 0
    assert "RuntimeError: render_mode='human' needs a screen" in done.stderr and "rgb_array" in done.stderr


@pytest.mark.parametrize("kwargs", [{"obs_type": "pixels"}, {"render_mode": "ansi"}])
def test_unknown_modes_are_refused_with_the_known_ones(kwargs):
    with pytest.raises(ValueError, match="choose"):
        PushTEnv(**kwargs)


@pytest.mark.parametrize(
    "options",
    [
        {"states": START},
        {"state": START[:4]},
        {"state": [*START[:4], float("nan")]},
        {"state": [600.0, *START[1:]]},
        {"state": "somewhere"},
    ],
)
def test_bad_reset_options_are_refused(env, options):
    with pytest.raises(ValueError, match="state"):
        env.reset(options=options)


@pytest.mark.parametrize("action", [[np.nan, 1.0], [1.0, np.inf], [1.0], [1.0, 2.0, 3.0], 5.0])
def test_bad_actions_are_refused_before_anything_moves(env, action):
    env.reset(options={"state": START})
    with pytest.raises(ValueError, match="action"):
        env.step(np.array(action))
    np.testing.assert_allclose(env.state, START, rtol=0, atol=1e-12)


def test_stepping_before_a_reset_is_an_error(env):
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(2, dtype=np.float32))


def test_a_short_push_ends_where_it_always_has(env):
    env.reset(options={"state": START})
    push(env, (330.0, 340.0), 10)
    np.testing.assert_allclose(env.state, PUSHED, rtol=0, atol=1e-6)
