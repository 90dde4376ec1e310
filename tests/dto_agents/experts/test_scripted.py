"""The experts' plans in a world without physics: the hand goes where it is told, and what it holds goes along."""

import dataclasses

import gymnasium
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import dto_envs  # noqa: F401
from dto_agents.experts import EXPERTS, make_expert
from dto_agents.experts.can import COMPARTMENT
from dto_agents.experts.motion import MotionStyle
from dto_agents.experts.scene import DOWN, Goal, Memory
from dto_agents.experts.scripted import ArmPlan, ExpertPlan, ScriptedExpert
from dto_agents.experts.square import GRASP, PEG

CALM = MotionStyle(linear_tremor=0.02, rotational_tremor=0.002, pause_rate=0, slip_rate=0)


@dataclasses.dataclass
class World:
    """A hand that covers 0.3 of what each action asks for; a free object near the closed fingers is held."""

    task: str
    object_position: np.ndarray
    object_rotation: Rotation
    grasp: np.ndarray
    width: float
    tool: np.ndarray = dataclasses.field(default_factory=lambda: np.array([-0.1, 0.0, 1.01]))
    hand: Rotation = DOWN
    opening: float = 0.04
    held: bool = False

    def observation(self):
        pose = np.concatenate([self.object_position, self.object_rotation.as_quat()])
        first = [pose, np.zeros(3)] if self.task == "Lift" else [np.zeros(7), pose]
        fingers = [self.opening / 2, -self.opening / 2]
        return np.concatenate([*first, self.tool, self.hand.as_quat(), fingers])

    def step(self, action):
        shift, turn = 0.3 * 0.05 * action[:3], Rotation.from_rotvec(0.3 * 0.5 * action[3:6])
        at_grasp = self.object_position + self.object_rotation.apply(self.grasp)
        near = np.linalg.norm(self.tool - at_grasp) < 0.012
        self.opening = float(np.clip(self.opening - 0.008 * np.sign(action[6]), self.width if near else 0.0, 0.08))
        self.held = near and action[6] > 0 and self.opening <= self.width + 1e-9
        if self.held:
            self.object_position = self.tool + shift + turn.apply(self.object_position - self.tool)
            self.object_rotation = turn * self.object_rotation
        self.tool = self.tool + shift
        self.hand = turn * self.hand


def play(world, seed, done, horizon=300):
    expert = make_expert(f"dto/{world.task}-v0", CALM)
    expert.reset([seed])
    for step in range(horizon):
        if done(world):
            return step
        action = expert.act(world.observation()[None])
        assert action.shape == (1, 1, 7) and action.dtype == np.float32 and np.abs(action).max() <= 1
        world.step(action[0, 0].astype(np.float64))
    return None


@pytest.mark.parametrize("yaw", [-3.0, -1.6, -0.7, 0.05, 0.8, 1.6, 2.4, 3.14])
def test_square_brings_the_nut_onto_the_peg_from_any_yaw(yaw):
    world = World("Square", np.array([-0.112, 0.16, 0.83]), Rotation.from_rotvec([0, 0, yaw]), GRASP, 0.032)
    assert play(world, 0, lambda w: w.held and w.object_position[2] < 0.9 and w.object_position[0] > 0.2)
    assert np.abs(world.object_position[:2] - PEG).max() < 0.00675, "the nut's hole would not clear the peg"
    x_axis = world.object_rotation.apply([1, 0, 0])
    assert np.abs(x_axis[:2]).max() > np.cos(0.12), "the nut is not square to the peg"
    assert x_axis[0] < 0.5, "the handle points where the arm does not reach"


@pytest.mark.parametrize("yaw", np.linspace(-3, 3, 7))
def test_lift_raises_the_cube(yaw):
    world = World("Lift", np.array([0.02, -0.02, 0.84]), Rotation.from_rotvec([0, 0, yaw]), np.zeros(3), 0.042)
    assert play(world, 1, lambda w: w.object_position[2] > 0.88)


def test_can_drops_the_can_in_its_compartment():
    world = World("Can", np.array([0.1, -0.2, 0.86]), Rotation.identity(), np.array([0, 0, 0.02]), 0.05)
    lifted = []
    assert play(world, 2, lambda w: lifted.append(w.held) or (any(lifted) and not w.held and w.opening > 0.06))
    assert (world.object_position[:2] > COMPARTMENT[:, 0]).all()
    assert (world.object_position[:2] < COMPARTMENT[:, 1]).all()
    assert world.object_position[2] < 0.95


def test_fingers_that_closed_on_nothing_open_again():
    world = World("Square", np.array([-0.112, 0.16, 0.83]), Rotation.identity(), GRASP, 0.032)
    expert = make_expert("dto/Square-v0", CALM)
    expert.reset([0])
    expert._memories = [[Memory(closing=True)]]
    world.tool, world.opening = world.object_position + GRASP, 0.0
    assert expert.act(world.observation()[None])[0, 0, 6] == -1.0


def test_an_episode_does_not_depend_on_its_neighbours():
    places = [np.array([-0.11, y, 0.83]) for y in (0.12, 0.14)]
    worlds = [World("Square", place, Rotation.identity(), GRASP, 0.032) for place in places]
    together, alone = make_expert("dto/Square-v0"), make_expert("dto/Square-v0")
    together.reset([5, 6])
    alone.reset([6])
    for _ in range(20):
        both = together.act(np.stack([world.observation() for world in worlds]))
        np.testing.assert_array_equal(both[1], alone.act(worlds[1].observation()[None])[0])
        for world, action in zip(worlds, both[:, 0], strict=True):
            world.step(action.astype(np.float64))


def test_each_arm_moves_in_the_frame_of_its_own_base():
    def reach_along_x(scene, memory):
        return Goal(np.array([1.0, 0.0, 0.0]), DOWN, close=False, reach=0.0)

    def turn_about_x_and_close(scene, memory):
        return Goal(np.zeros(3), Rotation.from_rotvec([0.5, 0.0, 0.0]) * DOWN, close=True, reach=0.0)

    still = MotionStyle(
        slowest=1.0, fastest=1.0, linear_tremor=0, rotational_tremor=0, pause_rate=0, aim_error=0, slip_rate=0
    )
    arms = (ArmPlan(reach_along_x, base_yaw=np.pi / 2), ArmPlan(turn_about_x_and_close, base_yaw=-np.pi / 2))
    expert = ScriptedExpert(ExpertPlan(arms, objects=(), style=still))
    expert.reset([0])
    observation = np.concatenate([np.zeros(3), DOWN.as_quat(), np.zeros(2)] * 2)
    first, second = expert.act(observation[None])[0, 0].reshape(2, 7)
    np.testing.assert_allclose(first, [0, -1, 0, 0, 0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(second, [0, 0, 0, 0, still.rotational_gain, 0, 1], atol=1e-6)


def test_tasks_without_an_expert_are_refused():
    with pytest.raises(ValueError, match="no scripted expert for dto/PushT-v0"):
        make_expert("dto/PushT-v0")
    with pytest.raises(ValueError, match="did you mean dto/Square-v0"):
        make_expert("dto/Sqare-v0")


@pytest.mark.parametrize("env_id", EXPERTS)
def test_the_expert_solves_the_simulated_task(env_id):
    pytest.importorskip("robosuite")
    env, expert = gymnasium.make(env_id), make_expert(env_id)
    solved = 0
    for seed in (70_001, 70_002):
        observation, _ = env.reset(seed=seed)
        expert.reset([seed])
        over, info = False, {}
        while not over:
            observation, _, terminated, truncated, info = env.step(expert.act(observation[None])[0, 0])
            over = terminated or truncated
        solved += info["success"]
    env.close()
    assert solved >= 1
