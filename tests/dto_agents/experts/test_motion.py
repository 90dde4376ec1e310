import dataclasses

import numpy as np
import pytest

from dto_agents.experts.motion import Hand, MotionStyle
from dto_agents.experts.scene import Goal, Gripper, pointing_down

STEADY = MotionStyle(
    slowest=1.0, fastest=1.0, linear_tremor=0, rotational_tremor=0, pause_rate=0, aim_error=0, slip_rate=0
)


def gripper_at(position, yaw=0.0):
    return Gripper(np.asarray(position, float), pointing_down(yaw), 0.08)


def goal_at(position, yaw=0.0, reach=0.0):
    return Goal(np.asarray(position, float), pointing_down(yaw), close=False, reach=reach)


def deflections(style, seed, steps, goal, gripper):
    hand = Hand(style, np.random.default_rng(seed))
    return np.array([hand.deflect(gripper, goal) for _ in range(steps)])


def test_a_steady_hand_deflects_fully_towards_a_far_goal_and_in_proportion_to_a_near_one():
    hand = Hand(STEADY, np.random.default_rng(0))
    np.testing.assert_allclose(
        hand.deflect(gripper_at([0, 0, 0]), goal_at([1, -1, 0])), [1, -1, 0, 0, 0, 0], atol=1e-12
    )
    near = hand.deflect(gripper_at([0, 0, 0]), goal_at([0.005, 0, 0], yaw=0.05))
    expected = [STEADY.linear_gain * 0.1, 0, 0, 0, 0, STEADY.rotational_gain * 0.1]
    np.testing.assert_allclose(near, expected, atol=1e-9)


def test_fine_work_is_slow_and_its_small_corrections_are_not_smaller():
    hand = Hand(STEADY, np.random.default_rng(0))
    slow = dataclasses.replace(goal_at([1, -1, 0.002]), pace=0.25)
    expected = [0.25, -0.25, STEADY.linear_gain * 0.002 / 0.05, 0, 0, 0]
    np.testing.assert_allclose(hand.deflect(gripper_at([0, 0, 0]), slow), expected, atol=1e-9)


def test_a_large_turn_keeps_its_axis():
    deflection = Hand(STEADY, np.random.default_rng(0)).deflect(gripper_at([0, 0, 0]), goal_at([0, 0, 0], yaw=3.0))
    np.testing.assert_allclose(deflection, [0, 0, 0, 0, 0, 1], atol=1e-9)


def test_turns_can_be_slower_than_the_hand_and_keep_their_axis():
    hand = Hand(dataclasses.replace(STEADY, fastest_turn=0.4), np.random.default_rng(0))
    deflection = hand.deflect(gripper_at([0, 0, 0]), goal_at([1, 0, 0], yaw=3.0))
    np.testing.assert_allclose(deflection, [1, 0, 0, 0, 0, 0.4], atol=1e-9)


def test_a_less_agile_hand_comes_to_its_deflection_in_steps():
    hand = Hand(dataclasses.replace(STEADY, agility=0.5), np.random.default_rng(0))
    ahead = [hand.deflect(gripper_at([0, 0, 0]), goal_at([1, 0, 0]))[0] for _ in range(3)]
    back = [hand.deflect(gripper_at([0, 0, 0]), goal_at([-1, 0, 0]))[0] for _ in range(2)]
    np.testing.assert_allclose(ahead + back, [0.5, 0.75, 0.875, -0.0625, -0.53125])


def test_a_seed_fixes_every_deflection_and_another_seed_gives_others():
    arguments = (50, goal_at([1, 0, 0]), gripper_at([0, 0, 0]))
    first = deflections(MotionStyle(), 3, *arguments)
    np.testing.assert_array_equal(first, deflections(MotionStyle(), 3, *arguments))
    assert not np.array_equal(first, deflections(MotionStyle(), 4, *arguments))


def test_tremor_is_correlated_noise_of_the_given_size():
    style = dataclasses.replace(STEADY, linear_tremor=0.05, rotational_tremor=0.005, tremor_rate=0.3)
    noise = deflections(style, 0, 6_000, goal_at([0, 0, 0]), gripper_at([0, 0, 0]))
    np.testing.assert_allclose(noise.std(axis=0), [0.05] * 3 + [0.005] * 3, rtol=0.08)
    correlation = np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]
    assert correlation == pytest.approx(0.7, abs=0.04)


def test_pauses_and_slips_come_as_often_and_last_as_long_as_the_style_says():
    still = dataclasses.replace(STEADY, pause_rate=0.05, pause_steps=(3, 3))
    moving = deflections(still, 0, 6_000, goal_at([1, 0, 0]), gripper_at([0, 0, 0]))[:, 0]
    starts = np.flatnonzero((moving[:-1] == 1) & (moving[1:] == 0)) + 1
    assert len(starts) == pytest.approx(6_000 / (20 + 3), rel=0.2)
    assert np.median(np.diff(np.flatnonzero(np.diff(moving) != 0))[::2]) == 3

    slippery = dataclasses.replace(STEADY, slip_rate=0.02, slip_steps=(4, 4), slip_size=(0.7, 0.15))
    slips = deflections(slippery, 0, 2_000, goal_at([0, 0, 0]), gripper_at([0, 0, 0]))
    assert 0 < np.abs(slips[:, :3]).max() <= 0.7
    assert 0 < np.abs(slips[:, 3:]).max() <= 0.15


def test_the_aim_is_loose_from_afar_and_exact_at_the_end():
    style = dataclasses.replace(STEADY, aim_error=0.2)
    gripper, near, far = gripper_at([0, 0, 0]), goal_at([0.01, 0, 0], reach=0.0), goal_at([0.01, 0, 0], reach=0.1)
    assert np.ptp(deflections(style, 0, 200, near, gripper), axis=0).max() == 0
    assert np.ptp(deflections(style, 0, 200, far, gripper)[:, 0]) > 0.1


def test_deflections_stay_within_the_action_space():
    wild = MotionStyle(linear_tremor=2.0, rotational_tremor=2.0, slip_rate=0.5)
    assert np.abs(deflections(wild, 0, 500, goal_at([1, 1, 1], 2.0, 1.0), gripper_at([0, 0, 0]))).max() <= 1.0
