"""ALOHA's experts: kinematics, strokes, and a rollout of each."""

import dataclasses

import gymnasium
import numpy as np
import pytest

import dto_envs  # noqa: F401

pytest.importorskip("gym_aloha")

from dto_agents.aloha.expert import PERFORMANCES, AlohaExpert  # noqa: E402
from dto_agents.aloha.kinematics import ArmKinematics, Pose, gripper  # noqa: E402
from dto_agents.aloha.strokes import Hand, Stroke, StrokeStyle  # noqa: E402
from dto_agents.aloha.view import View  # noqa: E402
from dto_agents.catalogue import make_agent  # noqa: E402
from dto_agents.diffusion.recipe import RECIPES  # noqa: E402
from dto_envs.aloha.objects import Bowl, Cup
from dto_envs.aloha.scene import TASKS  # noqa: E402

CALM = StrokeStyle(slowest=1.0, fastest=1.0, tremor=0.0, tremor_turn=0.0, pause_rate=0.0, aim_error=0.0)
START = np.array([0.0, -0.75, 0.95, 0.0, 0.55, 0.0])


@pytest.mark.parametrize("arm", [0, 1])
def test_inverse_kinematics_reaches_what_is_in_reach(arm):
    kinematics = ArmKinematics("AlohaArrangeDesk", arm)
    side = -1.0 if arm == 0 else 1.0
    for x, y, z in ((0.15, 0.42, 0.05), (0.05, 0.58, 0.12)):
        place = np.array([side * x, y, z])
        heading = np.arctan2(*(place - kinematics.base)[1::-1])
        wanted = Pose(place, gripper(float(heading), 0.85))
        angles = START
        for _ in range(3):
            angles = kinematics.angles(wanted, angles)
        found = kinematics.pose(angles)
        assert np.linalg.norm(found.position - place) < 2e-3
        assert (found.rotation * wanted.rotation.inv()).magnitude() < 0.03
        assert (angles >= kinematics.low).all() and (angles <= kinematics.high).all()


def test_out_of_reach_joints_stay_within_their_limits():
    kinematics = ArmKinematics("AlohaMoveStack", 0)
    angles = kinematics.angles(Pose(np.array([1.5, 0.5, 0.3]), gripper(0.0, 0.0)), START)
    assert (angles >= kinematics.low).all() and (angles <= kinematics.high).all()


def test_a_hand_beside_what_it_takes_keeps_its_forearm_straight():
    kinematics, aside = ArmKinematics("AlohaArrangeDesk", 0), 0.04
    bowl = np.array([-0.17, 0.56, 0.04])
    facing = View([kinematics], []).towards(0, bowl, 0.85, aside=aside)
    ahead = facing.apply([1.0, 0.0, 0.0])[:2]
    left = np.array([-ahead[1], ahead[0], 0.0]) / np.linalg.norm(ahead)
    hand = Pose(bowl + aside * left, facing)
    angles = START
    for _ in range(3):
        angles = kinematics.angles(hand, angles)
    assert np.linalg.norm(kinematics.pose(angles).position - hand.position) < 2e-3
    assert abs(angles[3]) < 0.02 and abs(angles[5]) < 0.02


def test_a_stroke_is_straight_begins_and_ends_at_rest_and_takes_its_time():
    kinematics, dt = ArmKinematics("AlohaMoveStack", 0), 0.02
    hand = Hand(CALM, np.random.default_rng(0), kinematics, dt, START, 0.5)
    start = hand.pose
    hand.begin(Stroke(start.shifted(x=0.05, z=-0.05), 1.0))
    positions, openings = [start.position], [0.5]
    while not hand.resting:
        hand.act()
        positions.append(hand.pose.position)
        openings.append(hand.opening)
    travelled = np.array(positions) - start.position
    np.testing.assert_allclose(travelled[:, 0], -travelled[:, 2], atol=1e-12)
    np.testing.assert_allclose(travelled[-1], [0.05, 0.0, -0.05], atol=1e-9)
    speed = np.linalg.norm(np.diff(travelled, axis=0), axis=1) / dt
    assert speed.max() == pytest.approx(CALM.speed, rel=0.05)
    assert speed[0] < 0.1 * speed.max() and speed[-1] < 0.1 * speed.max()
    assert openings[-1] == 1.0 and (np.diff(openings) >= 0).all()


def test_tremor_has_its_size_and_pace_differs_from_stroke_to_stroke():
    style = dataclasses.replace(CALM, slowest=0.5, tremor=0.002)
    kinematics = ArmKinematics("AlohaMoveStack", 0)
    hand = Hand(style, np.random.default_rng(0), kinematics, 1 / 6, START, 0.5)
    shaken = [kinematics.pose(hand.act()[:6]).position - hand.pose.position for _ in range(60)]
    assert 0.001 < np.std(shaken) < 0.003
    lengths = set()
    for _ in range(4):
        hand.begin(Stroke(hand.pose.shifted(x=0.02), 0.5))
        lengths.add(round(hand._length, 6))
    assert len(lengths) == 4


def test_episodes_do_not_depend_on_their_neighbours():
    env = gymnasium.make("dto/AlohaMoveStack-v0")
    states = [env.reset(seed=seed)[0] for seed in (1, 2)]
    together, alone = AlohaExpert("dto/AlohaMoveStack-v0"), AlohaExpert("dto/AlohaMoveStack-v0")
    together.reset([1, 2])
    alone.reset([2])
    for _ in range(5):
        both = together.act(np.stack(states))
        assert both.shape == (2, 1, 7) and both.dtype == np.float32
        np.testing.assert_array_equal(both[1], alone.act(states[1][None])[0])


@pytest.mark.parametrize("task", PERFORMANCES)
def test_recipes_point_at_the_quaternions_of_all_things_and_at_the_axes_of_round_ones(task):
    observation, _ = gymnasium.make(f"dto/{task}-v0").reset(seed=1)
    recipe, scene = RECIPES[f"dto/{task}-v0"], TASKS[task]
    starts = [len(observation) - 7 * left + 3 for left in range(len(scene.things), 0, -1)]
    assert all(np.linalg.norm(observation[start : start + 4]) == pytest.approx(1.0) for start in starts)
    is_round = [isinstance(scene.made.get(name), Cup | Bowl) for name in scene.things]
    assert recipe.axes == tuple(start for start, shown in zip(starts, is_round, strict=True) if shown)
    assert recipe.rotations == tuple(start for start, shown in zip(starts, is_round, strict=True) if not shown)


def test_other_tasks_are_refused():
    with pytest.raises(ValueError, match="no script for dto/PushT-v0"):
        AlohaExpert("dto/PushT-v0")


@pytest.mark.parametrize("task", PERFORMANCES)
def test_the_expert_solves_the_task(task):
    env = gymnasium.make(f"dto/{task}-v0")
    expert = make_agent("expert", f"dto/{task}-v0")
    for seed in (70_001, 70_002, 70_003):
        observation, _ = env.reset(seed=seed)
        expert.reset([seed])
        over, info = False, {}
        while not over:
            observation, _, terminated, truncated, info = env.step(expert.act(observation[None])[0, 0])
            over = terminated or truncated
        if info["success"]:
            return
    pytest.fail("three seeds in a row have failed")
