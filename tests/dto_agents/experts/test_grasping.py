import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dto_agents.experts.grasping import HOVER, fetch_from, gripper_for
from dto_agents.experts.scene import DOWN, Gripper, Pose

SLANTED = Rotation.from_rotvec([0.6, 0.0, 0.0]) * DOWN
GRASP = Pose(np.array([0.1, -0.2, 0.85]), SLANTED)
APPROACH = SLANTED.apply([0.0, 0.0, 1.0])


def gripper_at(position, rotation=SLANTED, width=0.08):
    return Gripper(np.asarray(position, dtype=float), rotation, width)


def test_a_gripper_that_is_not_in_line_goes_back_off_the_grasp_first():
    for start in (GRASP.position + [0.1, 0.0, 0.05], GRASP.position - 0.05 * APPROACH + [0.05, 0.0, 0.0]):
        goal = fetch_from(gripper_at(start), GRASP)
        np.testing.assert_allclose(goal.position, GRASP.position - HOVER * APPROACH)
        assert not goal.close
    turned = fetch_from(gripper_at(GRASP.position - 0.05 * APPROACH, DOWN), GRASP)
    assert (GRASP.position - turned.position) @ APPROACH > 0.08


def test_a_gripper_in_line_moves_in_along_the_approach_and_closes_there():
    inbound = fetch_from(gripper_at(GRASP.position - 0.05 * APPROACH), GRASP)
    np.testing.assert_allclose(inbound.position, GRASP.position)
    assert not inbound.close
    assert fetch_from(gripper_at(GRASP.position - 0.005 * APPROACH), GRASP).close


def test_narrow_fingers_keep_away():
    goal = fetch_from(gripper_at(GRASP.position - 0.005 * APPROACH, width=0.02), GRASP)
    assert (GRASP.position - goal.position) @ APPROACH == pytest.approx(0.04)
    assert not goal.close


def test_what_the_gripper_holds_is_at_its_target_once_the_gripper_is_where_it_must_be():
    gripper = gripper_at([0.3, 0.1, 1.0])
    thing = Pose(np.array([0.32, 0.05, 0.95]), Rotation.from_rotvec([0.1, 0.2, 0.3]))
    target = Pose(np.array([-0.1, 0.2, 1.1]), Rotation.from_rotvec([0.0, -1.0, 2.0]))
    there = gripper_for(gripper, thing, target)
    in_hand = gripper.rotation.inv()
    np.testing.assert_allclose(there.at(in_hand.apply(thing.position - gripper.position)), target.position)
    moved = there.rotation * in_hand * thing.rotation
    assert (moved * target.rotation.inv()).magnitude() == pytest.approx(0.0, abs=1e-9)
