"""Every registered id through one suite: the Gymnasium API, determinism, horizons, pictures, vectors."""

import functools
import hashlib
import importlib.util
import json
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import dto_envs

MODULES = {
    None: (),
    "robomimic": ("mujoco", "robosuite"),
    "metaworld": ("mujoco", "metaworld"),
    "aloha": ("mujoco", "gym_aloha"),
    "iiwa": ("mujoco",),
}


def is_installed(entry: dto_envs.EnvRow) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in MODULES[entry.extra])


AVAILABLE = [entry.id for entry in dto_envs.ENVS.values() if is_installed(entry)]
every_id = pytest.mark.parametrize(
    "env_id",
    [
        pytest.param(entry.id, marks=[] if is_installed(entry) else pytest.mark.skip(f"needs dto-envs[{entry.extra}]"))
        for entry in dto_envs.ENVS.values()
    ],
)


@functools.cache
def gl_works(env_id: str) -> bool:
    """Whether a picture can be drawn with GL; asked of another process, because a bad driver can end this one."""
    code = f"""
import gymnasium, dto_envs
env = gymnasium.make({env_id!r}, render_mode="rgb_array")
env.reset(seed=0)
env.render()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.returncode >= 0 and "NoDisplayError" not in done.stderr


def need_pictures(env_id: str) -> None:
    if dto_envs.row(env_id).extra in ("robomimic", "iiwa", "metaworld", "aloha") and not gl_works(env_id):
        pytest.skip("no GL context can be made here")


def rollout_digest(env: gymnasium.Env, seed: int, steps: int = 12) -> str:
    """SHA-256 of an episode's every bit: the hash of its initial state, observations, rewards and flags."""
    observation, info = env.reset(seed=seed)
    digest = hashlib.sha256(info["init_hash"].encode() + observation.tobytes())
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        action = generator.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        digest.update(observation.tobytes() + np.float64(reward).tobytes() + bytes([terminated, truncated]))
        digest.update(json.dumps({key: float(info[key]) for key in ("success", "score")}).encode())
        if truncated:
            break
    return digest.hexdigest()


@pytest.fixture(scope="module")
def digests_elsewhere() -> dict[str, str]:
    """Digests of the same episodes from another process, which makes the environments in another order."""
    code = f"""
import sys, json, gymnasium
sys.path.insert(0, {__file__.rsplit("/", 1)[0]!r})
from test_envs import rollout_digest
digests = {{}}
for env_id in {AVAILABLE[::-1]!r}:
    env = gymnasium.make(env_id)
    env.reset(seed=1234)
    env.step(env.action_space.sample())
    digests[env_id] = rollout_digest(env, 7)
print(json.dumps(digests))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@every_id
@pytest.mark.filterwarnings("ignore:.*(infinity|Inf).*")
def test_gymnasiums_checker_passes(env_id):
    check_env(gymnasium.make(env_id).unwrapped, skip_render_check=True)


@every_id
@pytest.mark.filterwarnings("ignore:.*(infinity|recommend|symmetric).*")
def test_stable_baselines3s_checker_passes(env_id):
    pytest.importorskip("stable_baselines3.common.env_checker").check_env(gymnasium.make(env_id), warn=False)


@every_id
def test_what_a_row_says_is_what_the_environment_does(env_id):
    entry = dto_envs.row(env_id)
    env = gymnasium.make(env_id)
    assert env.spec.max_episode_steps == entry.horizon
    assert env.unwrapped.action_layout == entry.layout
    assert env.action_space.shape == (entry.layout.size,) and env.action_space.dtype == np.float32
    assert env.observation_space.dtype == np.float64
    assert env.metadata["render_fps"] == pytest.approx(1 / entry.layout.dt)
    assert env_id == f"dto/{env.unwrapped.task}-v0"
    for limit in (entry.layout.low, entry.layout.high):
        assert env.action_space.contains(np.array(limit, dtype=np.float32))


@every_id
def test_a_seed_gives_the_same_bits_after_any_history_and_in_any_process(env_id, digests_elsewhere):
    fresh = rollout_digest(gymnasium.make(env_id), 7)
    env = gymnasium.make(env_id)
    for seed in (3, 8):
        rollout_digest(env, seed, steps=5)
    env.reset()
    assert rollout_digest(env, 7) == fresh
    assert rollout_digest(env, 8) != fresh
    assert digests_elsewhere[env_id] == fresh


@every_id
def test_resets_without_a_seed_differ_and_follow_from_the_last_seed(env_id):
    env = gymnasium.make(env_id)

    def hashes() -> list[str]:
        return [env.reset(seed=5)[1]["init_hash"]] + [env.reset()[1]["init_hash"] for _ in range(3)]

    first = hashes()
    env.step(env.action_space.sample())
    assert hashes() == first
    assert len(set(first)) == 4


@every_id
def test_init_hashes_name_initial_states(env_id):
    env = gymnasium.make(env_id)
    hashes, states = [], []
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        hashes.append(info["init_hash"])
        states.append(observation.tobytes())
    assert all(len(bytes.fromhex(text)) == 32 for text in hashes)
    assert len(set(hashes)) == len(set(states)) == 5


@every_id
def test_info_carries_success_and_score_in_every_step(env_id):
    env = gymnasium.make(env_id)
    observation, info = env.reset(seed=0)
    best = 0.0
    for _ in range(5):
        assert env.observation_space.contains(observation)
        assert isinstance(info["success"], bool) and isinstance(info["score"], float)
        assert best <= info["score"] <= 1.0
        best = info["score"]
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert isinstance(reward, float) and isinstance(terminated, bool) and isinstance(truncated, bool)


@every_id
def test_episodes_are_truncated_at_the_horizon(env_id):
    horizon = dto_envs.row(env_id).horizon
    env = gymnasium.make(env_id, terminate_on_success=False)
    env.reset(seed=0)
    middle = ((env.action_space.low + env.action_space.high) / 2).astype(np.float32)
    flags = [env.step(middle)[2:4] for _ in range(horizon)]
    assert flags == [(False, False)] * (horizon - 1) + [(False, True)]


@every_id
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vectors_hold_the_same_episodes(env_id, mode):
    vector = gymnasium.make_vec(env_id, num_envs=2, vectorization_mode=mode)
    single = gymnasium.make(env_id)
    try:
        observations, infos = vector.reset(seed=[11, 12])
        generator, box = np.random.default_rng(0), single.action_space
        actions = generator.uniform(box.low, box.high, size=(3, 2, *box.shape)).astype(np.float32)
        steps = [vector.step(action) for action in actions]
    finally:
        vector.close()
    for index, seed in enumerate((11, 12)):
        observation, info = single.reset(seed=seed)
        np.testing.assert_array_equal(observations[index], observation)
        assert infos["init_hash"][index] == info["init_hash"]
        for step, action in zip(steps, actions, strict=True):
            observation, reward, *_ = single.step(action[index])
            np.testing.assert_array_equal(step[0][index], observation)
            assert step[1][index] == reward


@every_id
def test_an_environment_is_rebuilt_from_its_spec(env_id):
    env = gymnasium.make(env_id, terminate_on_success=False)
    rebuilt = gymnasium.make(type(env.spec).from_json(env.spec.to_json()))
    assert rebuilt.unwrapped.terminate_on_success is False
    assert rollout_digest(rebuilt, 3, steps=3) == rollout_digest(env, 3, steps=3)


@every_id
@pytest.mark.parametrize("obs_type", ["image", "state_image"])
def test_observations_with_pictures(env_id, obs_type):
    need_pictures(env_id)
    env = gymnasium.make(env_id, obs_type=obs_type)
    first, _ = env.reset(seed=0)
    assert env.observation_space.contains(first)
    later = env.step(env.action_space.high)[0]
    assert env.observation_space.contains(later)
    pictures = [o for o in _leaves(later) if o.dtype == np.uint8]
    before = [o for o in _leaves(first) if o.dtype == np.uint8]
    assert pictures and all(picture.std() > 5 for picture in pictures)
    # Cameras see what an action did; the video that is a task stays the same all episode long.
    assert any((a != b).any() for a, b in zip(pictures, before, strict=True)) is not shows_the_task(env_id)
    again = gymnasium.make(env_id, obs_type=obs_type).reset(seed=0)[0]
    for one, other in zip(_leaves(again), _leaves(first), strict=True):
        np.testing.assert_array_equal(one, other)
    if obs_type == "state_image":
        # Beside a task's video the state leaves out the task, which comes last.
        state = gymnasium.make(env_id).reset(seed=0)[0]
        shown = state[: len(first["state"])] if shows_the_task(env_id) else state
        np.testing.assert_array_equal(first["state"], shown)
    env.close()


def shows_the_task(env_id: str) -> bool:
    """Whether the pictures are no camera's but the task itself, as a video of the motion that is wanted."""
    return env_id == "dto/PlanarPush-v0"


def _leaves(observation) -> list[np.ndarray]:
    return list(observation.values()) if isinstance(observation, dict) else [observation]


@every_id
def test_rgb_arrays(env_id):
    need_pictures(env_id)
    env = gymnasium.make(env_id, render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    assert before.dtype == np.uint8 and before.ndim == 3 and before.shape[2] == 3 and before.std() > 5
    env.step(env.action_space.high)
    assert (env.render() != before).any()
    env.close()


@every_id
@pytest.mark.parametrize("kwargs", [{"obs_type": "smell"}, {"render_mode": "hologram"}])
def test_unknown_modes_are_refused(env_id, kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        gymnasium.make(env_id, **kwargs)


def solved_state(env: gymnasium.Env) -> np.ndarray | None:
    """A state in which the task is done, where one can be written down."""
    if env.unwrapped.task == "PushT":
        return np.array([100.0, 100.0, 256.0, 256.0, np.pi / 4])
    if env.unwrapped.task == "Lift":
        env.reset(seed=0)
        state = env.unwrapped.get_state()
        cube = env.unwrapped.model.joint("cube_joint0").qposadr[0]
        state[1 + cube + 2] += 0.2
        return state
    if env.unwrapped.task == "IiwaReach":
        # A fall without friction runs backwards as it ran forwards: without torque, this state comes to rest there.
        goal = env.reset(seed=0)[0][14:21]
        env.reset(options={"state": goal})
        fallen = env.step(np.zeros(7))[0]
        return np.concatenate([fallen[:7], -fallen[7:14]])
    return None


@every_id
@pytest.mark.parametrize("terminate", [True, False])
def test_success_terminates_unless_told_otherwise(env_id, terminate):
    env = gymnasium.make(env_id, terminate_on_success=terminate)
    state = solved_state(env)
    if state is None:
        pytest.skip("success takes an expert here")
    env.reset(options={"state": state})
    _, _, terminated, _, info = env.step(np.zeros_like(env.action_space.low))
    assert info["success"] is True and info["score"] == 1.0
    assert terminated is terminate
