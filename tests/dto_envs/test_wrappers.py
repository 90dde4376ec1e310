"""Wrappers: what they do to a step, how they survive make_vec and JSON, and PPO learning through a filter."""

import json
from dataclasses import asdict, replace
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FrameStackObservation

import dto_envs
from dto_envs.smoothness import trajectory_metrics
from dto_envs.wrappers import ActionChunk, FilterAction, Smoothness, box_layout, read_layout, set_drawing

BOUND = 0.05


def pendulum_layout(bound: float = BOUND) -> dto_envs.ActionLayout:
    return box_layout(gymnasium.make("Pendulum-v1").action_space, dt=0.05, bound=bound)


class Recorder(gymnasium.Wrapper):
    """Keeps the actions that reach the environment, an array per episode."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.episodes: list[list[np.ndarray]] = []

    def reset(self, **kwargs):
        self.episodes.append([])
        return self.env.reset(**kwargs)

    def step(self, action):
        self.episodes[-1].append(np.array(action))
        return self.env.step(action)


def normalized_differences(recorder: Recorder, layout: dto_envs.ActionLayout) -> np.ndarray:
    actions = [layout.normalize(np.array(episode, dtype=np.float64)) for episode in recorder.episodes if episode]
    return np.concatenate([np.diff(episode, axis=0) for episode in actions])


# Chunks


def test_a_chunk_is_its_first_actions_one_after_the_other():
    single = Recorder(gymnasium.make("dto/PushT-v0"))
    inner = Recorder(gymnasium.make("dto/PushT-v0"))
    chunked = ActionChunk(inner, horizon=5, n_action_steps=3)
    chunked.action_space.seed(0)
    single.reset(seed=1)
    chunked.reset(seed=1)
    for _ in range(4):
        chunk = chunked.action_space.sample()
        assert chunk.shape == (5, 2)
        observation, reward, _, _, info = chunked.step(chunk)
        steps = [single.step(action) for action in chunk[:3]]
        np.testing.assert_array_equal(observation, steps[-1][0])
        assert reward == pytest.approx(sum(step[1] for step in steps), rel=1e-15)
        assert info["step_rewards"] == tuple(step[1] for step in steps)
        assert info["step_infos"] == tuple(step[4] for step in steps)
        assert info["score"] == steps[-1][4]["score"]
    np.testing.assert_array_equal(inner.episodes, single.episodes)


def test_a_chunk_stops_where_the_episode_ends():
    env = ActionChunk(gymnasium.make("dto/PushT-v0", max_episode_steps=7), horizon=5)
    env.reset(seed=0)
    assert not any(env.step(env.action_space.sample())[2:4])
    *_, truncated, info = env.step(env.action_space.sample())
    assert truncated and len(info["step_infos"]) == 2
    env.reset(options={"state": [100.0, 100.0, 256.0, 256.0, np.pi / 4]})
    _, reward, terminated, _, info = env.step(np.full((5, 2), 100, dtype=np.float32))
    assert terminated and reward == 1.0 and len(info["step_infos"]) == 1


@pytest.mark.parametrize("steps", [0, 6, -1])
def test_a_chunk_executes_at_least_one_and_at_most_all(steps):
    with pytest.raises(ValueError, match="1 to 5"):
        ActionChunk(gymnasium.make("dto/PushT-v0"), horizon=5, n_action_steps=steps)


class Drawn(gymnasium.Wrapper):
    """Notes of each step whether its image was drawn."""

    def reset(self, **options):
        self.drawn = []
        return self.env.reset(**options)

    def step(self, action):
        result = self.env.step(action)
        self.drawn.append(bool(result[0]["image"].any()))
        return result


def test_only_the_images_that_a_policy_looks_at_are_drawn():
    base = Drawn(gymnasium.make("dto/PushT-v0", obs_type="state_image", max_episode_steps=13))
    lazy = ActionChunk(FrameStackObservation(base, 2), horizon=15, n_action_steps=8, n_obs_steps=2)
    plain = gymnasium.make("dto/PushT-v0", obs_type="state_image")
    chunk = np.random.default_rng(0).uniform(100, 400, (15, 2)).astype(np.float32)
    lazy.reset(seed=3)
    plain.reset(seed=3)
    first = lazy.step(chunk)[0]
    whole = [plain.step(action)[0] for action in chunk[:8]]
    assert base.drawn == [False] * 6 + [True] * 2
    for name in ("state", "image"):
        np.testing.assert_array_equal(first[name], np.stack([step[name] for step in whole[-2:]]))
    _, _, _, truncated, _ = lazy.step(chunk)
    assert truncated and base.drawn[8:] == [False] * 3 + [True] * 2
    with pytest.raises(ValueError, match="n_obs_steps is 0"):
        ActionChunk(plain, horizon=4, n_obs_steps=0)


def test_without_a_number_every_image_of_a_chunk_is_drawn():
    base = Drawn(gymnasium.make("dto/PushT-v0", obs_type="state_image"))
    env = ActionChunk(base, horizon=3)
    env.reset(seed=3)
    env.step(env.action_space.sample())
    assert base.drawn == [True] * 3


def test_what_cannot_be_told_to_draw_is_left_alone():
    env = gymnasium.make("Pendulum-v1")
    set_drawing(env, False)
    assert not hasattr(env.unwrapped, "draw_images")


def test_a_vector_is_told_not_to_draw():
    vector = gymnasium.make_vec("dto/PushT-v0", 2, vectorization_mode="sync", obs_type="image")
    drawn, _ = vector.reset(seed=0)
    vector.set_attr("draw_images", False)
    black = vector.step(vector.action_space.sample())[0]
    assert drawn.any() and not black.any() and vector.observation_space.contains(black)
    vector.close()


def test_a_chunk_of_another_shape_is_refused():
    env = ActionChunk(gymnasium.make("dto/PushT-v0"), horizon=5)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"\(5, 2\)"):
        env.step(np.zeros((4, 2), dtype=np.float32))


# Filters


@pytest.mark.parametrize("name", ["clipping", "projection", "static-q"])
@pytest.mark.parametrize("chunked", [False, True])
def test_executed_actions_keep_the_bound(name, chunked):
    layout = dto_envs.row("dto/PushT-v0").layout
    recorder = Recorder(gymnasium.make("dto/PushT-v0", max_episode_steps=40))
    inner = ActionChunk(recorder, horizon=6, n_action_steps=4) if chunked else recorder
    env = FilterAction(inner, name)
    env.action_space.seed(0)
    for seed in range(3):
        env.reset(seed=seed)
        over = False
        while not over:
            *_, terminated, truncated, info = env.step(env.action_space.sample())
            over = terminated or truncated
    differences = np.abs(normalized_differences(recorder, layout))
    assert differences.max() <= layout.bound + 1e-6
    assert (differences > layout.bound - 1e-4).mean() > 0.5  # random actions press against the limit
    first = layout.normalize(np.array([episode[0] for episode in recorder.episodes], dtype=np.float64))
    assert np.abs(np.diff(first, axis=0)).max() > layout.bound  # nothing links one episode to the next


def test_actions_within_the_bound_pass_unchanged():
    env = FilterAction(gymnasium.make("Pendulum-v1"), "clipping", layout=pendulum_layout())
    env.reset(seed=0)
    for action in np.linspace(-1, 1, 60, dtype=np.float32)[:, None]:
        executed = env.step(action)[4]["executed_action"]
        assert executed.dtype == np.float32
        np.testing.assert_allclose(executed, action, rtol=0, atol=2e-7)


def test_a_filter_of_ones_own_sees_normalised_chunks_and_the_last_executed_action():
    seen = []

    def half(chunk, previous=None):
        seen.append((chunk.copy(), previous))
        return chunk / 2

    env = FilterAction(ActionChunk(gymnasium.make("Pendulum-v1"), 3, 2), half, layout=pendulum_layout())
    env.reset(seed=0)
    for _ in range(2):
        info = env.step(np.array([[2.0], [-2.0], [1.0]], dtype=np.float32))[4]
    np.testing.assert_array_equal(info["executed_action"], np.array([[1.0], [-1.0], [0.5]], dtype=np.float32))
    assert seen[0][1] is None
    np.testing.assert_array_equal(seen[0][0], np.array([[[1.0], [-1.0], [0.5]]]))
    np.testing.assert_array_equal(seen[1][1], [[-0.5]])


def test_bad_actions_execute_nothing():
    recorder = Recorder(gymnasium.make("Pendulum-v1"))
    env = FilterAction(recorder, "clipping", layout=pendulum_layout())
    env.reset(seed=0)
    for action in (np.array([np.nan]), np.array([np.inf]), np.zeros(2)):
        with pytest.raises(ValueError):
            env.step(action)
    assert recorder.episodes == [[]]


def test_an_environment_without_a_layout_asks_for_one():
    with pytest.raises(ValueError, match="box_layout"):
        FilterAction(gymnasium.make("Pendulum-v1"), "clipping")
    with pytest.raises(ValueError, match="7 action dimensions"):
        FilterAction(gymnasium.make("Pendulum-v1"), "clipping", layout=dto_envs.row("dto/Lift-v0").layout)
    with pytest.raises(ValueError, match="Box"):
        ActionChunk(gymnasium.make("CartPole-v1"), 3)
    with pytest.raises(ValueError, match="bounded Box"):
        box_layout(gymnasium.make("CartPole-v1").action_space, dt=0.02, bound=0.1)  # type: ignore[arg-type]


def test_an_unknown_filter_and_an_unknown_option_are_refused():
    env = gymnasium.make("dto/PushT-v0")
    with pytest.raises(ValueError, match="clipping"):
        FilterAction(env, "cliping")
    with pytest.raises((TypeError, ValueError), match="limit"):
        FilterAction(env, "clipping", options={"limit": 0.1})


# Smoothness


def test_smoothness_is_that_of_the_whole_trajectory_so_far():
    layout = dto_envs.row("dto/PushT-v0").layout
    recorder = Recorder(gymnasium.make("dto/PushT-v0"))
    env = Smoothness(recorder)
    env.action_space.seed(3)
    _, info = env.reset(seed=0)
    assert info["limit_violations"] == 0 and set(info["smoothness"].values()) == {0.0}
    for _ in range(12):
        info = env.step(env.action_space.sample())[4]
        expected = trajectory_metrics(np.array(recorder.episodes[-1]), layout)
        assert info["limit_violations"] == expected.violations
        for name, value in info["smoothness"].items():
            assert value == pytest.approx(getattr(expected, name), abs=1e-12)
    assert info["limit_violations"] > 5
    assert env.reset(seed=0)[1]["limit_violations"] == 0


def test_smoothness_takes_bounds_for_each_side():
    lower, upper = [-0.5, -0.5], [2.0, 0.1]
    env = Smoothness(gymnasium.make("dto/PushT-v0"), bound=(lower, upper))
    env.reset(seed=0)
    env.step(np.array([100, 300], dtype=np.float32))
    info = env.step(np.array([400, 350], dtype=np.float32))[4]  # 300 px right is 1.2, 50 px down is 0.206
    assert info["limit_violations"] == 1
    assert info["smoothness"]["max_violation"] == pytest.approx(50 / 243 - 0.1, abs=1e-6)


# Specs and vectors


def wrapped(env: gymnasium.Env) -> gymnasium.Env:
    env = ActionChunk(Smoothness(env, bound=(-0.04, [0.05, 0.06])), horizon=6, n_action_steps=3)
    return FilterAction(env, "clipping", options={"bound": (np.full(2, -0.04), 0.05)})


def run(env: gymnasium.Env, chunks: int = 5) -> tuple[np.ndarray, dict]:
    env.reset(seed=4)
    env.action_space.seed(4)
    steps = [env.step(env.action_space.sample()) for _ in range(chunks)]
    return np.array([step[0] for step in steps]), steps[-1][4]


def test_specs_go_through_json_and_rebuild_the_same_environment():
    env = wrapped(gymnasium.make("dto/PushT-v0"))
    text = env.spec.to_json()
    assert json.loads(text)["additional_wrappers"][-1]["kwargs"]["options"] == {
        "bound": {"lower": [-0.04, -0.04], "upper": 0.05}
    }
    rebuilt = gymnasium.make(EnvSpec.from_json(text))
    assert rebuilt.spec.to_json() == text
    observations, info = run(env)
    again, info_again = run(rebuilt)
    np.testing.assert_array_equal(observations, again)
    assert info["smoothness"] == info_again["smoothness"]
    assert info["limit_violations"] == 0


def test_a_filter_of_ones_own_survives_its_spec_but_is_not_written_to_json():
    def half(chunk, previous=None):
        return chunk / 2

    env = FilterAction(gymnasium.make("dto/PushT-v0"), half)
    assert gymnasium.make(env.spec).get_wrapper_attr("filter") is half
    with pytest.raises(TypeError):
        env.spec.to_json()


def test_layouts_go_through_json():
    for row in dto_envs.ENVS.values():
        assert read_layout(json.loads(json.dumps(asdict(row.layout)))) == row.layout
    layout = asdict(pendulum_layout())
    with pytest.raises(ValueError, match="limit"):
        read_layout({**layout, "limit": 1})
    layout.pop("dt")
    with pytest.raises(ValueError, match="dt"):
        read_layout(layout)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_wrappers_work_in_vectors(mode):
    by_wrappers = gymnasium.make_vec("dto/PushT-v0", num_envs=2, vectorization_mode=mode, wrappers=[wrapped])
    spec = EnvSpec.from_json(wrapped(gymnasium.make("dto/PushT-v0")).spec.to_json())
    by_spec = gymnasium.make_vec(spec, num_envs=2, vectorization_mode=mode)
    single = wrapped(gymnasium.make("dto/PushT-v0"))
    chunks = np.random.default_rng(0).uniform(20, 500, size=(4, 2, 6, 2)).astype(np.float32)
    for vector in (by_wrappers, by_spec):
        vector.reset(seed=[5, 6])
        results = [vector.step(chunk) for chunk in chunks]
        single.reset(seed=6)
        for result, chunk in zip(results, chunks, strict=True):
            observation, reward, _, _, info = single.step(chunk[1])
            np.testing.assert_array_equal(result[0][1], observation)
            assert result[1][1] == reward
            assert result[4]["limit_violations"][1] == info["limit_violations"] == 0
            assert result[4]["smoothness"]["max_difference"][1] == info["smoothness"]["max_difference"]
            np.testing.assert_array_equal(result[4]["executed_action"][1], info["executed_action"])
        vector.close()


def test_vectors_of_an_environment_that_brings_no_layout():
    wrapper = partial(FilterAction, action_filter="clipping", layout=asdict(pendulum_layout()))
    vector = gymnasium.make_vec("Pendulum-v1", num_envs=2, vectorization_mode="sync", wrappers=[wrapper])
    vector.reset(seed=0)
    vector.action_space.seed(0)
    executed = np.array([vector.step(vector.action_space.sample())[4]["executed_action"] for _ in range(20)])
    assert np.abs(np.diff(executed / 2, axis=0)).max() <= BOUND + 1e-6


WRAPPED = {
    "chunk": lambda env: ActionChunk(env, horizon=4, n_action_steps=2),
    "filter": lambda env: FilterAction(env, "clipping", layout=pendulum_layout()),
    "smoothness": lambda env: Smoothness(env, layout=pendulum_layout()),
    "all": lambda env: FilterAction(
        ActionChunk(Smoothness(env, layout=pendulum_layout()), 4, 2), "clipping", layout=pendulum_layout()
    ),
}


@pytest.mark.parametrize("wrapper", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.filterwarnings("ignore:.*(unwrapped|different from the unwrapped).*")
def test_checkers_pass(wrapper):
    env = wrapper(gymnasium.make("Pendulum-v1", disable_env_checker=True))
    check_env(env, skip_render_check=True)
    stable_baselines = pytest.importorskip("stable_baselines3.common.env_checker")
    stable_baselines.check_env(env, warn=False)


@pytest.mark.parametrize("chunked", [False, True])
def test_ppo_learns_through_a_filter_and_breaks_no_limit(chunked):
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    layout = pendulum_layout()
    recorder = Recorder(gymnasium.make("Pendulum-v1"))
    env = FilterAction(ActionChunk(recorder, 4, 4) if chunked else recorder, "clipping", layout=layout)
    steps = 500 if chunked else 2000
    model = stable_baselines3.PPO("MlpPolicy", env, n_steps=250, batch_size=50, n_epochs=2, seed=0, device="cpu")
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(steps)
    differences = np.abs(normalized_differences(recorder, layout))
    assert sum(map(len, recorder.episodes)) >= 2000
    assert differences.max() <= BOUND + 1e-6
    assert (differences > BOUND - 1e-4).mean() > 0.5  # PPO asks for more than the filter lets through
    assert any((a != b).any() for a, b in zip(before, model.policy.parameters(), strict=True))


def test_a_bound_of_the_layout_is_the_default():
    wide = replace(pendulum_layout(), bound=2.0)
    env = FilterAction(gymnasium.make("Pendulum-v1"), "clipping", layout=wide)
    env.reset(seed=0)
    for action in (-2.0, 2.0):
        info = env.step(np.array([action], dtype=np.float32))[4]
        assert info["executed_action"] == action
