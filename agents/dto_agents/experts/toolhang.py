"""ToolHang: put the frame's rod into the stand, and hang the tool on the frame's hook."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from dto_agents.experts.grasping import OPEN_WIDTH, fetch, fetch_from, gripper_for, holds, squeezing, stay
from dto_agents.experts.motion import MotionStyle
from dto_agents.experts.scene import Goal, Gripper, Memory, Pose, Scene, nearest, pointing_down

STYLE = MotionStyle(fastest_turn=0.45, agility=0.6)
OBJECTS = (7, 21, 35)  # the stand's base, the frame at its corner, the tool at its middle

# In the stand's frame: a hole 10 mm wide, from its rim down to the base plate.
HOLE = np.array([0.0, 0.045, 0.155])
HOLE_BOTTOM = 0.005

# In the frame's frame: z along the rod and away from its tip, x away from the hook.
TIP = np.array([0.0, 0.0, -0.2207])
GRIP = np.array([0.0, 0.0, -0.0338])
GRIP_WIDTH = 0.0254
BUMP = np.array([-0.0855, 0.0, 0.0158])  # top of the bump at the hook's end
STANDING = Rotation.from_matrix([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]])  # the hook points along x
# The gripper across the rod, half way between the rod's direction and the side on which the frame lies.
SLANTED = Rotation.from_matrix(np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 1.0], [-1.0, 0.0, -1.0]]) / [2**0.5, 1, 2**0.5])

# In the tool's frame: x from its large ring towards the small one.
RING = np.array([-0.0935, 0.0, 0.0])
HANDLE = np.array([0.03, 0.0, 0.015])  # where it is pressed
TOOL_WIDTH = 0.03

TIP_CLEARANCE = 0.08  # height of the rod's tip over the hole's rim, while it is carried there
TURN_PLACE = np.array([0.0, -0.18, 1.05])  # of the gripper: where the rod is turned, and from which height on
TRAVEL_HEIGHT = 1.15  # of the gripper, above stand and frame
RING_CLEARANCE = 0.05  # height of the ring over the bump's top, while it is carried there
RING_LAID = -0.010  # height of the ring over the bump's top, when it is let go
SLOW_STEP = 0.012  # lowering the ring asks for no more than this: too hard, and it tears the frame out of the stand
# What is fitted is aligned where it hovers, and comes down slowly, only as long as it is aligned.
NEAR, HOVER, LOOSE = 0.02, 0.03, 0.05  # m: beside the goal, over it, and the reach of an aim that is some mm off
TOUCHING = 0.005  # m over the goal, from where what does not fit is lifted again
FINE_PACE, DOWN_PACE = 0.2, 0.5  # near the goal, and on the way down into the hole
PRESS_ANGLE = 0.09  # pressing asks for the handle to be turned by this much more, in rad
FALLING = 14  # steps in which a tool that was let go may fall by itself
LET_GO, PRESS = "let go of the tool", "press the tool"  # the stages that must be remembered


def plan(scene: Scene, memory: Memory) -> Goal:
    """Decide where the gripper goes now.

    Args:
        scene: what is seen.
        memory: what is remembered.
    """
    stand, frame, tool = scene.objects
    gripper, grip = scene.gripper, frame.at(GRIP)
    if not _mounted(stand, frame):
        if memory.closing and holds(gripper, grip, GRIP_WIDTH):
            return stay(gripper) if squeezing(gripper, GRIP_WIDTH) else _insert(scene)
        return _fetch_frame(gripper, Pose(grip, frame.rotation * SLANTED))
    if np.linalg.norm(gripper.position - grip) < 0.06:
        return _back_off(gripper)
    if memory.closing and holds(gripper, tool.position, TOOL_WIDTH):
        return stay(gripper) if squeezing(gripper, TOOL_WIDTH) else _hang(scene)
    if not _on_hook(frame, tool):
        return _fetch_tool(scene)
    return _help_down(scene, memory)


def _mounted(stand: Pose, frame: Pose) -> bool:
    """Whether the rod is in the hole, all the way down."""
    tip = stand.rotation.inv().apply(frame.at(TIP) - stand.position)
    return bool(np.linalg.norm(tip[:2] - HOLE[:2]) < 0.01 and tip[2] < HOLE_BOTTOM + 0.008)


def _fetch_frame(gripper: Gripper, grasp: Pose) -> Goal:
    """Come near the frame with the gripper pointing down, since the wrist has no room to slant it at the start."""
    goal = fetch_from(gripper, grasp)
    if np.linalg.norm((goal.position - gripper.position)[:2]) > 0.12:
        return Goal(_above(goal.position, 1.0), pointing_down(0.0), close=False, reach=goal.reach)
    return goal


def _insert(scene: Scene) -> Goal:
    """Lift the frame, turn its rod downwards, take it over the hole, and lower it once it fits."""
    stand, frame, _ = scene.objects
    gripper = scene.gripper
    hole, tip = stand.at(HOLE), frame.at(TIP)
    upright = stand.rotation * STANDING
    turn = (upright * frame.rotation.inv()).magnitude()
    away = float(np.linalg.norm((hole - tip)[:2]))
    inside = away < 0.006 and tip[2] < hole[2]
    near = away < NEAR and turn < 0.1
    over = float(tip[2] - hole[2])
    fits = away < 0.0025 and turn < 0.03
    height = _fitting_height(over, fits, -0.01) if near else TIP_CLEARANCE
    corner = Pose(hole + [0.0, 0.0, -0.16 if inside else height] - upright.apply(TIP), upright)
    target = gripper_for(gripper, frame, corner)
    if inside:
        return Goal(target.position, target.rotation, close=True, reach=0.0, pace=DOWN_PACE)
    if near:
        return _fit(target, over)
    if gripper.position[2] < TURN_PLACE[2]:
        rising = gripper.position if gripper.position[2] < 0.92 else TURN_PLACE
        return Goal(_above(rising, target.position[2]), gripper.rotation, close=True, reach=0.0)
    if turn > 0.5:
        return Goal(_above(TURN_PLACE, target.position[2]), target.rotation, close=True, reach=0.0)
    if tip[2] < hole[2] + TIP_CLEARANCE - 0.03:
        return Goal(_above(gripper.position, target.position[2]), target.rotation, close=True, reach=0.0)
    return Goal(target.position, target.rotation, close=True, reach=away)


def _fitting_height(over: float, fits: bool, lowest: float) -> float:
    """How far over its goal a thing should be that is ``over`` it: lower while it ``fits``, else held, or lifted."""
    if over > 1.5 * HOVER:
        return HOVER
    return lowest if fits else over if over > TOUCHING else HOVER


def _fit(target: Pose, over: float) -> Goal:
    """Take what is held to ``target`` slowly, and aim loosely while it is far ``over`` its goal, in m."""
    reach = LOOSE if over > 1.5 * HOVER else 0.0
    return Goal(target.position, target.rotation, close=True, reach=reach, pace=FINE_PACE)


def _back_off(gripper: Gripper) -> Goal:
    """Let go of the frame and leave it the way the gripper came."""
    back = 0.1 if gripper.width > 0.04 else 0.0
    position = gripper.position - gripper.rotation.apply([0.0, 0.0, back])
    return Goal(position, gripper.rotation, close=False, reach=0.0)


def _fetch_tool(scene: Scene) -> Goal:
    tool, gripper = scene.objects[2], scene.gripper
    yaw = nearest(tool.yaw, -np.pi / 2, np.pi)
    goal = fetch(gripper, tool.position, yaw)
    if goal.reach < 0.08:
        return goal
    rising = gripper.position[2] < TRAVEL_HEIGHT - 0.05
    position = _above(gripper.position if rising else goal.position, TRAVEL_HEIGHT)
    turn = np.clip(yaw - gripper.yaw, -1.5, 1.5)  # not the short way round, which the wrist does not have
    return Goal(position, pointing_down(gripper.yaw + turn), close=False, reach=goal.reach)


def _hang(scene: Scene) -> Goal:
    """Lift the tool, lay its large ring around the bump at the hook's end with the handle outward, and let go."""
    _, frame, tool = scene.objects
    gripper = scene.gripper
    bump, ring = frame.at(BUMP), tool.at(RING)
    outward = Rotation.from_rotvec([0.0, 0.0, frame.yaw + np.pi])
    turn = (outward * tool.rotation.inv()).magnitude()
    away = float(np.linalg.norm((bump - ring)[:2]))
    around = away < 0.006 and ring[2] < bump[2] + 0.003
    if around and ring[2] < bump[2] + RING_LAID + 0.003:
        return _let_go(gripper)
    over = float(ring[2] - bump[2])
    near = away < NEAR and turn < 0.15
    fits = away < 0.003 and turn < 0.05
    laid = RING_LAID - 0.005
    height = laid if around else _fitting_height(over, fits, laid) if near else RING_CLEARANCE
    height = max(height, over - SLOW_STEP) if near else height
    target = gripper_for(gripper, tool, Pose(bump + [0.0, 0.0, height] - outward.apply(RING), outward))
    if away > 0.05 and (ring[2] < bump[2] + RING_CLEARANCE - 0.02 or turn > 0.8):
        return Goal(_above(gripper.position, target.position[2]), target.rotation, close=True, reach=0.0)
    if near:
        return _fit(target, over)
    return Goal(target.position, target.rotation, close=True, reach=away)


def _on_hook(frame: Pose, tool: Pose) -> bool:
    """Whether the tool's large ring is around the bump, or where it comes to rest from there."""
    return bool(np.linalg.norm(tool.at(RING) - frame.at(BUMP)) < 0.035)


def _let_go(gripper: Gripper) -> Goal:
    """Open the fingers, then rise."""
    rise = 0.1 if gripper.width > OPEN_WIDTH else 0.0
    return Goal(gripper.position + [0.0, 0.0, rise], gripper.rotation, close=False, reach=0.0, stage=LET_GO)


def _help_down(scene: Scene, memory: Memory) -> Goal:
    """See whether the tool falls by itself, and if the ring has caught on the bump, press the handle; and again."""
    _, frame, tool = scene.objects
    lean = float(np.linalg.norm(frame.rotation.apply([0.0, 0.0, 1.0])[:2]))
    pressed = memory.stage == PRESS and (lean > 0.05 or memory.steps > 70)
    if pressed or (memory.stage == LET_GO and memory.steps < FALLING):
        return _let_go(scene.gripper)
    return _press(scene.gripper, tool)


def _press(gripper: Gripper, tool: Pose) -> Goal:
    """Press the handle down with closed fingers, along the arc on which it turns about the ring."""
    handle, ring = tool.at(HANDLE), tool.at(RING)
    away = float(np.linalg.norm((handle - gripper.position)[:2]))
    begun = gripper.position[2] < handle[2] + 0.01 or (away < 0.012 and gripper.width < 0.01)
    further = tool.rotation * Rotation.from_rotvec([0.0, PRESS_ANGLE, 0.0]) * tool.rotation.inv()
    target = ring + further.apply(handle - ring) if begun else handle + [0.0, 0.0, 0.05]
    return Goal(target, pointing_down(0.0), close=True, reach=0.0, stage=PRESS)


def _above(position: np.ndarray, height: float) -> np.ndarray:
    return np.array([position[0], position[1], height])
