"""ToolHang's plan in a world without physics: what the closed fingers hold goes along, and stays where it is let go."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dto_agents.experts import make_expert
from dto_agents.experts.motion import MotionStyle
from dto_agents.experts.scene import DOWN, Gripper, Memory, Pose, Scene, pointing_down
from dto_agents.experts.toolhang import (
    BUMP,
    GRIP,
    GRIP_WIDTH,
    HANDLE,
    HOLE,
    HOLE_BOTTOM,
    HOVER,
    LET_GO,
    PRESS,
    RING,
    STANDING,
    TIP,
    TOOL_WIDTH,
    plan,
)

CALM = MotionStyle(linear_tremor=0.02, rotational_tremor=0.002, pause_rate=0, slip_rate=0)
STAND = Pose(np.array([-0.08, 0.0, 0.806]), Rotation.identity())


@dataclasses.dataclass
class World:
    """A hand that covers 0.3 of what each action asks for, and the frame and the tool as they lie at the start."""

    frame: Pose
    tool: Pose
    hand: Pose = dataclasses.field(default_factory=lambda: Pose(np.array([-0.1, 0.0, 1.01]), DOWN))
    opening: float = 0.04
    held: str = ""

    def observation(self):
        unseen = np.zeros(7)
        poses = [np.concatenate([unseen, pose.position, pose.rotation.as_quat()]) for pose in self.objects()]
        hand = [self.hand.position, self.hand.rotation.as_quat(), [self.opening / 2, -self.opening / 2]]
        return np.concatenate([*poses, np.zeros(2), *hand])

    def objects(self):
        return STAND, self.frame, self.tool

    def step(self, action):
        shift, turn = 0.3 * 0.05 * action[:3], Rotation.from_rotvec(0.3 * 0.5 * action[3:6])
        moved = Pose(self.hand.position + shift, turn * self.hand.rotation)
        near = {"frame": (self.frame.at(GRIP), GRIP_WIDTH), "tool": (self.tool.position, TOOL_WIDTH)}
        between = [name for name, (at, _) in near.items() if np.linalg.norm(at - self.hand.position) < 0.015]
        narrowest = near[between[0]][1] if between else 0.0
        self.opening = float(np.clip(self.opening - 0.008 * np.sign(action[6]), narrowest, 0.08))
        self.held = between[0] if between and action[6] > 0 and self.opening <= narrowest else ""
        if self.held:
            thing = getattr(self, self.held)
            setattr(
                self,
                self.held,
                Pose(
                    moved.at(self.hand.rotation.inv().apply(thing.position - self.hand.position)), turn * thing.rotation
                ),
            )
        self.hand = moved


def lying(frame_turn=0.0, tool_turn=0.0):
    """The objects as robosuite places them; both turns are at most 10 degrees there."""
    along = Rotation.from_rotvec([0, 0, np.radians(-26.5) + frame_turn])
    frame = along * Rotation.from_matrix([[-1, 0, 0], [0, 0, -1], [0, -1, 0]])
    tool = Rotation.from_rotvec([0, 0, -1.92 + tool_turn])
    return World(
        frame=Pose(np.array([-0.11, -0.3, 0.813]), frame),
        tool=Pose(np.array([0.04, -0.2, 0.815]), tool),
    )


def play(world, done, horizon=500):
    expert = make_expert("dto/ToolHang-v0", CALM)
    expert.reset([0])
    for step in range(horizon):
        if done(world):
            return step
        world.step(expert.act(world.observation()[None])[0, 0].astype(np.float64))
    return None


def tip_from_hole(world):
    return world.frame.at(TIP) - STAND.at(HOLE)


@pytest.mark.parametrize("turn", [-0.17, 0.0, 0.17])
def test_the_rod_goes_into_the_hole_and_nowhere_else_below_its_rim(turn):
    world = lying(frame_turn=turn)
    path = []

    def let_go_in_the_hole(world):
        path.append(tip_from_hole(world))
        return world.held == "" and np.linalg.norm(path[-1][:2]) < 0.01

    assert play(world, let_go_in_the_hole)
    tips = np.array(path)
    over_the_stand = np.abs(tips[:, :2]).max(axis=1) < 0.04
    below_the_rim = tips[:, 2] < 0
    assert np.linalg.norm(tips[over_the_stand & below_the_rim, :2], axis=1).max() < 0.004, "it hits the hole's wall"
    assert (world.frame.rotation * STANDING.inv()).magnitude() < 0.05
    assert world.frame.at(TIP)[2] - STAND.position[2] < HOLE_BOTTOM + 0.01
    assert world.frame.at(BUMP)[0] > world.frame.position[0] + 0.08, "the hook points to the robot"


@pytest.mark.parametrize("turn", [-0.17, 0.0, 0.17])
def test_the_ring_is_laid_around_the_bump_with_the_handle_outward(turn):
    world = lying(tool_turn=turn)
    world.frame = Pose(STAND.at(HOLE) + [0.0, 0.0, -0.15] - STANDING.apply(TIP), STANDING)
    world.hand = Pose(world.frame.at(GRIP) + [0.0, 0.09, 0.09], pointing_down(np.pi / 2))
    lifted = []
    assert play(world, lambda w: lifted.append(w.held) or ("tool" in lifted and w.held == ""))
    off = world.tool.at(RING) - world.frame.at(BUMP)
    assert np.linalg.norm(off[:2]) < 0.006
    assert -0.012 < off[2] < 0.0
    assert world.tool.rotation.apply([1, 0, 0])[0] > 0.99
    assert lifted.index("tool") > 20, "it was held before it was fetched"


def seen(hand, width, tool_tilt=0.5):
    frame = Pose(STAND.at(HOLE) + [0.0, 0.0, -0.15] - STANDING.apply(TIP), STANDING)
    rotation = Rotation.from_rotvec([0.0, tool_tilt, 0.0])
    tool = Pose(frame.at(BUMP) + [0.006, 0.0, -0.016] - rotation.apply(RING), rotation)
    return Scene((STAND, frame, tool), (Gripper(hand(tool), DOWN, width),))


def test_a_ring_that_has_caught_is_pressed_down_with_closed_fingers():
    scene = seen(lambda tool: tool.position + [0.0, 0.0, 0.12], width=0.08)
    waiting = plan(scene, Memory(stage=LET_GO, steps=5))
    assert waiting.stage == LET_GO and not waiting.close
    goal = plan(scene, Memory(stage=LET_GO, steps=20))
    assert goal.stage == PRESS and goal.close
    assert goal.position[2] > scene.objects[2].at(HANDLE)[2], "open fingers press"

    above = seen(lambda tool: tool.at(HANDLE) + [-0.005, 0.0, 0.02], width=0.0)
    goal = plan(above, Memory(closing=True, stage=PRESS, steps=10))
    assert goal.position[2] < above.objects[2].at(HANDLE)[2]


def test_pressing_ends_after_a_while_or_once_the_frame_leans():
    scene = seen(lambda tool: tool.at(HANDLE), width=0.0)
    assert plan(scene, Memory(closing=True, stage=PRESS, steps=10)).stage == PRESS
    assert plan(scene, Memory(closing=True, stage=PRESS, steps=71)).stage == LET_GO
    stand, frame, tool = scene.objects
    tip = frame.at(TIP)
    lean = Rotation.from_rotvec([0.0, 0.08, 0.0]) * frame.rotation
    leaning = Scene((stand, Pose(tip - lean.apply(TIP), lean), tool), scene.grippers)
    assert plan(leaning, Memory(closing=True, stage=PRESS, steps=10)).stage == LET_GO


def test_a_frame_that_was_dropped_is_fetched_again():
    world = lying()
    scene = Scene(world.objects(), (Gripper(world.frame.at(GRIP) + [0.0, 0.0, 0.2], DOWN, 0.0),))
    goal = plan(scene, Memory(closing=True))
    assert not goal.close
    assert np.linalg.norm(goal.position - world.frame.at(GRIP)) < 0.15


@pytest.mark.parametrize("off", [0.0, 0.008])
def test_the_rod_comes_down_only_as_long_as_it_fits(off):
    def over_the_rim(height):
        tip = STAND.at(HOLE) + [off, 0.0, height]
        frame = Pose(tip - STANDING.apply(TIP), STANDING)
        gripper = Gripper(frame.at(GRIP), frame.rotation, GRIP_WIDTH)
        goal = plan(Scene((STAND, frame, lying().tool), (gripper,)), Memory(closing=True))
        return goal, goal.position[2] - gripper.position[2] + height

    high, height = over_the_rim(0.06)
    assert 0 < high.pace < 1 and high.reach > 0, "from above it is aimed loosely"
    assert height == pytest.approx(HOVER)
    low, height = over_the_rim(0.02)
    assert 0 < low.pace < 1 and low.reach == 0
    assert height < 0 if off == 0 else height == pytest.approx(0.02)
    _, height = over_the_rim(0.001)
    assert height < 0 if off == 0 else height == pytest.approx(HOVER), "what touches is lifted"
