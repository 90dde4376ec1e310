import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.spatial.transform import Rotation

from dto_agents.experts.scene import Goal, Memory, Pose, nearest, pointing_down, see, wrap

angles = st.floats(-20, 20)


@given(angles, angles, st.sampled_from([np.pi / 2, np.pi, 2 * np.pi]))
def test_nearest_is_the_same_angle_and_no_other_is_nearer(angle, to, period):
    found = nearest(angle, to, period)
    turns = (found - angle) / period
    assert turns == pytest.approx(round(turns), abs=1e-9)
    assert abs(found - to) <= period / 2 + 1e-9


@given(angles)
def test_wrap_keeps_the_direction(angle):
    assert -np.pi <= wrap(angle) < np.pi
    assert np.cos(wrap(angle)) == pytest.approx(np.cos(angle), abs=1e-9)
    assert np.sin(wrap(angle)) == pytest.approx(np.sin(angle), abs=1e-9)


@given(st.floats(-3.1, 3.1))
def test_a_hand_pointing_down_has_the_heading_it_was_given(yaw):
    rotation = pointing_down(yaw)
    np.testing.assert_allclose(rotation.apply([0, 0, 1]), [0, 0, -1], atol=1e-12)
    observation = np.concatenate([np.zeros(7), [1, 2, 3], [0, 0, 0, 1], [4, 5, 6], rotation.as_quat(), [0.03, -0.02]])
    assert see(observation, [7]).gripper.yaw == pytest.approx(yaw, abs=1e-9)


def test_see_reads_square_and_lift_observations():
    turned = Rotation.from_rotvec([0, 0, 0.4])
    hand = [[0.1, 0.2, 0.3], pointing_down(0.0).as_quat(), [0.04, -0.03]]
    square = np.concatenate([np.full(7, 9.0), [0.5, 0.6, 0.7], turned.as_quat(), *hand])
    lift = np.concatenate([[0.5, 0.6, 0.7], turned.as_quat(), np.full(3, 9.0), *hand])
    for scene in (see(square, [7]), see(lift, [0])):
        np.testing.assert_array_equal(scene.object.position, [0.5, 0.6, 0.7])
        np.testing.assert_array_equal(scene.gripper.position, [0.1, 0.2, 0.3])
        assert scene.object.yaw == pytest.approx(0.4)
        assert scene.gripper.width == pytest.approx(0.07)


def test_see_tells_several_objects_and_grippers_apart():
    upright, turned = [0, 0, 0, 1], Rotation.from_rotvec([0, 0, 0.4]).as_quat()
    objects = [[1, 1, 1, *upright], [9.0], [2, 2, 2, *turned]]
    hands = [[3, 3, 3, *upright, 0.01, -0.01], [4, 4, 4, *turned, 0.04, -0.04]]
    scene = see(np.concatenate([*objects, *hands]), [8, 0], arms=2)
    assert [thing.position[0] for thing in scene.objects] == [2, 1]
    assert [thing.yaw for thing in scene.objects] == pytest.approx([0.4, 0])
    assert [gripper.position[0] for gripper in scene.grippers] == [3, 4]
    assert [gripper.yaw for gripper in scene.grippers] == pytest.approx([0, 0.4])
    assert [gripper.width for gripper in scene.grippers] == pytest.approx([0.02, 0.08])


def test_a_pose_tells_where_its_points_are():
    pose = Pose(np.array([1.0, 2.0, 3.0]), Rotation.from_rotvec([0, 0, np.pi / 2]))
    np.testing.assert_allclose(pose.at(np.array([0.1, 0.0, 0.2])), [1.0, 2.1, 3.2])


def test_memory_counts_the_steps_of_a_stage_and_keeps_the_fingers_command():
    def goal(stage, close):
        return Goal(np.zeros(3), pointing_down(0.0), close, 0.0, stage)

    memory = Memory()
    seen = []
    for stage, close in [("fetch", False), ("fetch", True), ("carry", True), ("fetch", False)]:
        memory = memory.after(goal(stage, close))
        seen.append(memory)
    assert [(entry.stage, entry.steps) for entry in seen] == [("fetch", 1), ("fetch", 2), ("carry", 1), ("fetch", 1)]
    assert [entry.closing for entry in seen] == [False, True, True, False]
