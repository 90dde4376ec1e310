"""The environment: its tasks, its steps against the simulator, its judging, its options and what it refuses."""

import gymnasium
import numpy as np
import pytest

import dto_envs
from dto_agents.simple import HoldAgent
from dto_envs.actions import ActionLayout
from dto_envs.planar_push.constants import HOME, MAX_FORCE
from dto_envs.planar_push.feasibility import SHARES, grips
from dto_envs.planar_push.observations import read_task
from dto_envs.planar_push.physics import Physics, simulate, trajectory_loss
from dto_envs.planar_push.shapes import Polygon, to_world
from dto_envs.planar_push.tasks import SETS, Task, make_task
from dto_envs.wrappers import ActionChunk, FilterAction, Smoothness

ID = "dto/PlanarPush-v0"
SQUARE = Polygon.from_points(np.array([[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]))
LIFT = Task(SQUARE, np.array([[0.1 * k / 4, 0.3 + 0.05 * k / 4, 0.0] for k in range(5)]), airborne=True)
# Both fingers 2 mm inside the square's sides: a squeeze of 20 N.
LIFTING = (LIFT.poses[:, None, :2] + np.array([[-0.098, 0.0], [0.098, 0.0]])).reshape(5, 4).astype(np.float32)


def play(env: gymnasium.Env, actions: np.ndarray) -> list[tuple]:
    """The steps of an episode that is already reset."""
    return [env.step(action) for action in actions]


def test_a_lift_between_two_fingers_succeeds_at_the_end_and_not_before():
    env = gymnasium.make(ID)
    env.reset(options={"task": LIFT})
    steps = play(env, LIFTING)
    infos = [step[4] for step in steps]
    assert [info["success"] for info in infos] == [False] * 4 + [True]
    assert [info["score"] for info in infos][:4] == [0.0] * 4
    assert infos[4]["trajectory_loss"] < 0.02
    assert infos[4]["score"] == steps[4][1] == 1 / (1 + infos[4]["trajectory_loss"])
    assert [step[2] for step in steps] == [False] * 4 + [True]
    assert [step[3] for step in steps] == [False] * 4 + [True]
    env.reset(options={"task": LIFT})
    unended = gymnasium.make(ID, terminate_on_success=False)
    unended.reset(options={"task": LIFT})
    assert play(unended, LIFTING)[4][2:4] == (False, True)


@pytest.mark.parametrize("feed_forward", [False, True])
def test_steps_are_the_simulators(feed_forward):
    task = make_task("train", 1)
    env = gymnasium.make(ID, object_set="train", feed_forward=feed_forward, physics={"finger_friction": 0.6})
    env.reset(options={"task": 1})
    generator = np.random.default_rng(0)
    fingers = task.poses[:, None, :2] + np.array([[-0.05, -0.08], [0.05, -0.08]]) + generator.normal(0, 0.01, (5, 2, 2))
    forces = generator.normal(0, 5, (5, 2, 2))
    actions = fingers.reshape(5, 4)
    if feed_forward:
        actions = np.concatenate([actions, forces.reshape(5, 4)], axis=1)
    steps = play(env, actions)
    done = simulate(task, fingers, forces if feed_forward else None, Physics(finger_friction=0.6))
    np.testing.assert_array_equal([step[0][8:11] for step in steps], done.poses)
    np.testing.assert_array_equal([step[0][:4] for step in steps], done.fingers.reshape(5, 4))
    assert steps[-1][4]["trajectory_loss"] == float(trajectory_loss(done.poses, task.poses))
    assert done.contact[:, :2].any()


def test_the_first_action_places_the_fingers_and_no_time_goes_by():
    env = gymnasium.make(ID, object_set="train")
    first, info = env.reset(options={"task": 0})
    np.testing.assert_array_equal(first[:4], np.ravel(HOME))
    later, _, _, _, info = env.step(np.array([-0.4, 0.7, 0.4, 0.7]))
    np.testing.assert_array_equal(later[:4], [-0.4, 0.7, 0.4, 0.7])
    np.testing.assert_array_equal(later[8:14], first[8:14])
    assert (first[14], later[14]) == (0.0, 1.0) and info["trajectory_loss"] == 0.0


def test_seeds_go_through_a_frozen_set():
    for name, entry in list(SETS.items())[:2]:
        env = gymnasium.make(ID, object_set=name)
        tasks = [make_task(name, index) for index in range(entry.size)]
        hashes = [env.reset(seed=100_000 + index)[1]["init_hash"] for index in range(entry.size)]
        assert hashes == [task.digest for task in tasks]
    env = gymnasium.make(ID, object_set="train")
    env.reset(seed=5)
    assert len({env.reset()[1]["init_hash"] for _ in range(12)}) > 3


def test_a_state_tells_the_task_and_a_state_beside_a_video_does_not():
    env = gymnasium.make(ID)
    state, info = env.reset(seed=3)
    assert read_task(state).digest == env.unwrapped.current_task.digest == info["init_hash"]
    both, again = gymnasium.make(ID, obs_type="state_image").reset(seed=3)
    assert again == info
    np.testing.assert_array_equal(both["state"], state[:15])
    assert both["video"].shape == (5, 50, 50, 3)


def test_still_fingers_are_the_no_fingers_baseline():
    env = gymnasium.make(ID, object_set="test")
    observation, _ = env.reset(options={"task": 0})
    agent = HoldAgent(ID)
    agent.reset([0])
    for _ in range(5):
        observation, _, _, _, info = env.step(agent.act(observation[None])[0])
    np.testing.assert_allclose(observation[:4], np.ravel(HOME), atol=1e-6)
    task = make_task("test", 0)
    fallen = simulate(task, np.tile(np.array(HOME), (5, 1, 1)))
    assert info["trajectory_loss"] == pytest.approx(float(trajectory_loss(fallen.poses, task.poses)))
    assert not info["success"] and info["trajectory_loss"] > 4.0


def test_tasks_that_the_test_calls_solvable_are_carried_by_one_of_their_grips():
    """Grips tried blindly, pressed with 20 N a finger: one of them carries the object."""
    env = gymnasium.make(ID)
    for index in (0, 1):
        task = make_task("train", index)
        facets = np.repeat(np.arange(len(task.polygon.vertices)), len(SHARES))
        points = task.polygon.points(facets, np.tile(SHARES, len(task.polygon.vertices)))
        points = points - 0.002 * task.polygon.normals[facets]
        losses = []
        for pair in grips(task):
            env.reset(options={"task": task})
            actions = to_world(task.poses, points[pair]).reshape(5, 4)
            losses.append(play(env, actions)[-1][4]["trajectory_loss"])
        assert min(losses) < 0.1


def test_commands_beyond_the_workspace_are_clipped():
    env = gymnasium.make(ID, feed_forward=True)
    assert env.action_space.shape == (8,) and env.action_space.high[-1] == MAX_FORCE
    env.reset(seed=0)
    observation = env.step(np.array([-9.0, -9.0, 9.0, 9.0, 1e6, 0.0, 0.0, 0.0]))[0]
    np.testing.assert_array_equal(observation[:4], [-0.45, 0.0, 0.45, 0.9])


@pytest.mark.parametrize("name", ["clipping", "penalty", "projection"])
def test_filters_keep_fingers_within_their_speed(name):
    layout = dto_envs.row(ID).layout
    env = FilterAction(ActionChunk(Smoothness(gymnasium.make(ID)), 5), name)
    env.reset(seed=0)
    zigzag = np.stack([layout.low if k % 2 else layout.high for k in range(5)]).astype(np.float32)
    *_, info = env.step(zigzag)
    executed = info["executed_action"]
    assert executed.shape == (5, 4)
    speed = np.abs(np.diff(executed, axis=0)).max() / layout.dt
    assert speed == pytest.approx(0.9, abs=0.01)


def test_filters_leave_forces_alone():
    env = FilterAction(gymnasium.make(ID, feed_forward=True), "clipping")
    env.reset(seed=0)
    env.step(np.zeros(8, dtype=np.float32))
    wild = np.array([0.45, 0.9, 0.45, 0.9, 60.0, -60.0, 30.0, 0.0], dtype=np.float32)
    executed = env.step(wild)[4]["executed_action"]
    np.testing.assert_allclose(executed[:4], 0.09, atol=1e-6)
    np.testing.assert_array_equal(executed[4:], wild[4:])


def test_layouts_say_what_the_numbers_are():
    layout = gymnasium.make(ID, feed_forward=True).unwrapped.action_layout
    assert isinstance(layout, ActionLayout) and layout.trajectory == (0, 1, 2, 3)
    assert layout.names[4:] == ("finger0_fx", "finger0_fy", "finger1_fx", "finger1_fy")
    assert layout.units == ("m",) * 4 + ("N",) * 4


def test_pictures_show_what_happens():
    env = gymnasium.make(ID, render_mode="rgb_array")
    env.reset(options={"task": LIFT})
    pictures = [env.render()] + [(env.step(action), env.render())[1] for action in LIFTING[:3]]
    assert all(picture.shape == (512, 512, 3) and picture.dtype == np.uint8 for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == 4
    film = env.unwrapped.film()
    assert film.shape == (21, 512, 512, 3)
    np.testing.assert_array_equal(film[[0, 10, 20]], pictures[1:])


def test_pictures_stand_objects_that_fly_off():
    env = gymnasium.make(ID, render_mode="rgb_array")
    env.reset(seed=1)
    generator = np.random.default_rng(0)
    for _ in range(5):
        env.step(generator.uniform(env.action_space.low, env.action_space.high))
    assert env.render().std() > 5


def test_bad_input_gets_one_clear_error():
    for kwargs, message in (
        ({"object_set": "tset"}, "train, fine-tune, test"),
        ({"physics": {"fricton": 1.0}}, "finger_friction"),
        ({"physics": {"dt": -1.0}}, "dt"),
    ):
        with pytest.raises(ValueError, match=message):
            gymnasium.make(ID, **kwargs)
    env = gymnasium.make(ID, object_set="train").unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(np.zeros(4))
    with pytest.raises(ValueError, match="unknown reset options"):
        env.reset(options={"tsk": 0})
    with pytest.raises(ValueError, match="0 to 19"):
        env.reset(options={"task": 20})
    with pytest.raises(ValueError, match="whole number or a Task"):
        env.reset(options={"task": "first"})
    with pytest.raises(ValueError, match="needs object_set"):
        gymnasium.make(ID).reset(options={"task": 3})
    env.reset(seed=0)
    for action in (np.zeros(3), np.full(4, np.nan), "left", None):
        with pytest.raises(ValueError, match="4 finite numbers"):
            env.step(action)
    play(env, np.zeros((5, 4)))
    with pytest.raises(gymnasium.error.ResetNeeded, match="last keyframe"):
        env.step(np.zeros(4))
