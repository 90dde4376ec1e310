"""Transport's plans in a world without physics: what fingers hold goes along, the rest falls onto the tables."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dto_agents.experts import make_expert
from dto_agents.experts.motion import MotionStyle
from dto_agents.experts.scene import Gripper, Memory, Pose, Scene, pointing_down
from dto_agents.experts.transport import (
    BASE_YAWS,
    GRIPS,
    HANDLE_WIDTH,
    HANDOVER,
    LID_PLACE,
    LID_WIDTH,
    START_BIN,
    TARGET_BIN,
    TRASH_BIN,
    TRASH_WIDTH,
    plan_first,
    plan_second,
)

CALM = MotionStyle(slowest=0.9, linear_tremor=0.02, rotational_tremor=0.002, pause_rate=0, slip_rate=0)
HAMMER, TRASH, LID = range(3)
WIDTHS = (HANDLE_WIDTH, TRASH_WIDTH, LID_WIDTH)
RESTING = (0.825, 0.83, 0.825)  # heights on the table; the lid starts on its bin
WALL = 0.95
CLOSED, OPEN = 0.029, 0.08


def lying(heading):
    """A hammer's orientation on its side, with the head at ``heading``."""
    return Rotation.from_rotvec([0, 0, heading]) * Rotation.from_rotvec([0, np.pi / 2, 0])


def beside(point, hammer):
    """Distance of a point from the hammer's handle, and how far along it the point is."""
    offset = hammer.rotation.inv().apply(point - hammer.position)
    return float(np.linalg.norm(offset - [0, 0, np.clip(offset[2], -0.1, 0.1)])), float(offset[2])


@dataclasses.dataclass
class World:
    """Two hands that cover 0.3 of what each action asks for, in the frames of their bases."""

    things: list[Pose]
    hands: list[Pose] = dataclasses.field(
        default_factory=lambda: [
            Pose(np.array([0.0, 0.35 * side, 1.01]), pointing_down(-np.pi / 2 * side)) for side in (-1, 1)
        ]
    )
    openings: list[float] = dataclasses.field(default_factory=lambda: [0.04, 0.04])
    held: list[int | None] = dataclasses.field(default_factory=lambda: [None, None])

    def observation(self):
        poses = [np.concatenate([thing.position, thing.rotation.as_quat()]) for thing in self.things]
        hands = [
            np.concatenate([hand.position, hand.rotation.as_quat(), [width / 2, -width / 2]])
            for hand, width in zip(self.hands, self.openings, strict=True)
        ]
        return np.concatenate([*poses, np.zeros(20), *hands])

    def between(self, arm):
        """The thing between an arm's fingers."""
        tool = self.hands[arm].position
        near = [beside(tool, self.things[HAMMER])[0], *(np.linalg.norm(t.position - tool) for t in self.things[1:])]
        return int(np.argmin(near)) if min(near) < 0.015 else None

    def step(self, action):
        for arm, (deflection, grip) in enumerate(zip(action.reshape(2, 7)[:, :6], action[6::7], strict=True)):
            base = Rotation.from_rotvec([0, 0, BASE_YAWS[arm]])
            shift, turn = base.apply(deflection.reshape(2, 3)) * [[0.3 * 0.05], [0.3 * 0.5]]
            self._move(arm, shift, Rotation.from_rotvec(turn), grip)
        for index, thing in enumerate(self.things):
            floor = 0.975 if index == LID and abs(thing.position[0] - START_BIN[0]) < 0.1 else RESTING[index]
            if index not in self.held:
                fallen = max(thing.position[2] - 0.04, min(floor, thing.position[2]))
                self.things[index] = Pose(np.append(thing.position[:2], fallen), thing.rotation)

    def _move(self, arm, shift, turn, grip):
        hand, index = self.hands[arm], self.between(arm)
        narrowest = WIDTHS[index] if index is not None else 0.0
        self.openings[arm] = float(np.clip(self.openings[arm] - 0.008 * np.sign(grip), narrowest, OPEN))
        self.held[arm] = index if grip > 0 and self.openings[arm] <= narrowest else None
        moved = Pose(hand.position + shift, turn * hand.rotation)
        if index is not None and self.held[arm] == index and self.held[1 - arm] != index:
            thing = self.things[index]
            inside = hand.rotation.inv().apply(thing.position - hand.position)
            self.things[index] = Pose(moved.at(inside), turn * thing.rotation)
        self.hands[arm] = moved


def start(heading=np.pi / 2, trash_yaw=0.0):
    hammer = Pose(np.append(START_BIN, RESTING[HAMMER]), lying(heading))
    trash = Pose(np.append(TARGET_BIN, RESTING[TRASH]), Rotation.from_rotvec([0, 0, trash_yaw]))
    return World([hammer, trash, Pose(np.append(START_BIN, 0.975), Rotation.identity())])


@pytest.mark.parametrize(("heading", "trash_yaw"), [(2.0, 0.9), (-1.1, -0.5)])
def test_the_hammer_reaches_the_target_bin_by_way_of_both_arms_and_over_all_walls(heading, trash_yaw):
    world, expert = start(heading, trash_yaw), make_expert("dto/Transport-v0", CALM)
    expert.reset([0])
    carriers, low = [], []
    for _ in range(650):
        world.step(expert.act(world.observation()[None])[0, 0].astype(np.float64))
        carriers.append(tuple(HAMMER == held for held in world.held))
        hammer = world.things[HAMMER]
        if any(carriers[-1]) and hammer.position[2] < WALL + 0.02:
            low.append(min(np.abs(hammer.position[:2] - middle).max() for middle in (START_BIN, TARGET_BIN)))
        if hammer.position[1] > 0.3 and hammer.position[2] < 0.83 and not any(carriers[-1]):
            break
    hammer, trash, lid = world.things
    assert np.abs(hammer.position[:2] - TARGET_BIN).max() < 0.04 and hammer.position[2] < 0.83
    assert abs(hammer.rotation.apply([0, 0, 1])[1]) > np.cos(0.2), "the hammer lies across the bin"
    assert np.abs(trash.position[:2] - TRASH_BIN).max() < 0.1 and trash.position[2] < 0.84
    assert np.abs(lid.position[:2] - LID_PLACE).max() < 0.05 and lid.position[2] < 0.83
    assert max(low) < 0.06, "the hammer was carried through a wall"
    order = [carrier for step, carrier in enumerate(carriers) if step == 0 or carrier != carriers[step - 1]]
    assert order == [(False, False), (True, False), (True, True), (False, True), (False, False)]


def handing_over(first_width=CLOSED, second_width=OPEN, first_rise=0.0, second_rise=0.0):
    """What is seen when the first arm offers the hammer and everything else is done."""
    hammer = Pose(HANDOVER - [0.0, GRIPS[0], 0.0], lying(np.pi / 2))
    trash, lid = Pose(np.append(TRASH_BIN, 0.83), Rotation.identity()), Pose(np.append(LID_PLACE, 0.825), lying(0.0))
    first = Gripper(HANDOVER + [0.0, 0.0, first_rise], pointing_down(BASE_YAWS[0]), first_width)
    tool = hammer.position + [0.0, GRIPS[1], second_rise]
    second = Gripper(tool, pointing_down(BASE_YAWS[1]), second_width)
    return Scene((hammer, trash, lid), (first, second))


def test_the_first_arm_holds_on_until_the_second_has_closed_its_fingers():
    closing = Memory(closing=True)
    for width in (OPEN, 0.05, HANDLE_WIDTH * 1.2):
        assert plan_first(handing_over(second_width=width), closing).close
    assert plan_first(handing_over(second_rise=0.1), closing).close
    assert not plan_first(handing_over(second_width=CLOSED), closing).close


def test_the_first_arm_opens_its_fingers_before_it_rises_and_rises_before_it_leaves():
    opening = plan_first(handing_over(first_width=0.04, second_width=CLOSED), Memory())
    np.testing.assert_allclose(opening.position, HANDOVER)
    rising = plan_first(handing_over(first_width=OPEN, second_width=CLOSED), Memory())
    np.testing.assert_allclose(rising.position[:2], HANDOVER[:2])
    assert rising.position[2] > HANDOVER[2] + 0.05
    leaving = plan_first(handing_over(first_width=OPEN, second_width=CLOSED, first_rise=0.13), Memory())
    assert leaving.position[1] < HANDOVER[1] - 0.2


def test_the_second_arm_comes_when_the_hammer_is_offered_and_goes_when_it_is_released():
    waiting = handing_over(second_rise=0.2)
    assert plan_second(waiting, Memory()).position[2] < waiting.grippers[1].position[2]
    far = Scene(waiting.objects, (dataclasses.replace(waiting.grippers[0], width=OPEN), waiting.grippers[1]))
    assert plan_second(far, Memory()).position[2] > 1.15, "it grasps for a hammer that nobody holds out"
    assert plan_second(handing_over(), Memory()).close
    held = Memory(closing=True)
    for rise in (0.0, 0.06):
        goal = plan_second(handing_over(second_width=CLOSED, first_width=OPEN, first_rise=rise), held)
        np.testing.assert_allclose(goal.position, handing_over().grippers[1].position, atol=1e-9)
    going = plan_second(handing_over(second_width=CLOSED, first_width=OPEN, first_rise=0.1), held)
    assert going.close and going.position[1] > HANDOVER[1] + 0.3


def test_what_slipped_out_of_the_fingers_is_fetched_again_where_an_arm_can_reach_it():
    scene = handing_over(first_width=0.0, first_rise=0.2)
    for place, plan, arm in ((START_BIN, plan_first, 0), ((-0.05, 0.42), plan_second, 1)):
        hammer = Pose(np.append(place, 0.825), lying(1.4))
        dropped = Scene((hammer, *scene.objects[1:]), scene.grippers)
        goal = plan(dropped, Memory(closing=True))
        assert not goal.close
        assert np.linalg.norm(goal.position[:2] - hammer.position[:2]) < abs(GRIPS[arm]) + 0.01
    lid = Pose(np.array([0.03, -0.44, 0.96]), Rotation.from_rotvec([0.0, 0.1, 0.0]))
    leaning = Scene((*scene.objects[:2], lid), scene.grippers)
    np.testing.assert_allclose(plan_first(leaning, Memory()).position[:2], lid.position[:2])
    trash = Pose(np.array([0.02, 0.4, 0.83]), Rotation.identity())
    missed = Scene((scene.objects[0], trash, scene.objects[2]), scene.grippers)
    np.testing.assert_allclose(plan_second(missed, Memory()).position[:2], trash.position[:2])


def test_an_empty_gripper_rises_over_the_walls_before_it_crosses_them():
    scene = handing_over()
    low = Gripper(np.array([*LID_PLACE, 0.83]), pointing_down(BASE_YAWS[0]), OPEN)
    hammer = Pose(np.append(START_BIN, 0.825), lying(1.4))
    goal = plan_first(Scene((hammer, *scene.objects[1:]), (low, scene.grippers[1])), Memory())
    assert goal.position[2] > WALL + 0.05
    assert np.abs(goal.position[:2] - LID_PLACE).max() < 0.02
