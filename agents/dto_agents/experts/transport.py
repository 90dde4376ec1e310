"""Transport: one arm uncovers a hammer and hands it to the other, which clears a bin of trash and lays it there."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from dto_agents.experts.grasping import OPEN_WIDTH, fetch, holds, squeezing, stay
from dto_agents.experts.motion import MotionStyle
from dto_agents.experts.scene import Goal, Gripper, Memory, Pose, Scene, nearest, pointing_down, wrap

STYLE = MotionStyle(fastest_turn=0.35, agility=0.6)
OBJECTS = (0, 7, 14)  # the hammer at the middle of its handle, the trash, the lid's handle
BASE_YAWS = (np.pi / 2, -np.pi / 2)  # the arms face each other; also the yaw of their grippers as they start

# The middles of bins and of the place for the lid: x and y. Bins are 0.28 m wide inside and reach up to z = 0.95.
START_BIN = np.array([0.2, -0.45])
TARGET_BIN = np.array([-0.2, 0.45])
TRASH_BIN = np.array([0.2, 0.45])
LID_PLACE = np.array([-0.2, -0.45])
INSIDE = 0.13  # half a bin's width, less a little
LYING = 0.87  # what lies in a bin is lower
TRAVEL_HEIGHT = 1.06  # of a gripper that passes over walls

LID_WIDTH, TRASH_WIDTH, HANDLE_WIDTH = 0.022, 0.04, 0.03
LID_CARRIED, LID_LAID = 1.0, 0.829  # heights of the lid's handle
TRASH_CARRIED, TRASH_DROPPED = 1.02, 0.95

# Along the hammer's handle from its middle, towards the base of the arm that grips.
GRIPS = (0.05, 0.065)
MIDDLE = 0.018  # from the handle's middle to that of the whole hammer, towards the head
HAMMER_CLEAR = 1.0  # height from which on the hammer is above the walls
HANDOVER = np.array([0.0, -0.058, 1.06])  # the first gripper, when it offers the hammer
WAITING = np.array([0.0, 0.12, 1.2])  # the second gripper, until then
ASIDE = np.array([0.0, -0.3, 1.2])  # the first gripper, after that
HAMMER_LAID = 0.84


def plan_first(scene: Scene, memory: Memory) -> Goal:
    """Decide where the first arm's gripper goes now: lid away, hammer out of its bin, held out until it is taken.

    Args:
        scene: what is seen.
        memory: what this arm remembers.
    """
    hammer, _, lid = scene.objects
    gripper, other = scene.grippers
    if memory.closing and holds(gripper, lid.position, LID_WIDTH):
        return stay(gripper) if squeezing(gripper, LID_WIDTH) else _lay_lid(gripper, lid)
    if _within(lid, START_BIN, 0.2):
        return _fetch_over_walls(gripper, lid.position, nearest(lid.yaw + np.pi / 2, BASE_YAWS[0], np.pi))
    grip = _grip(hammer, 0)
    taken = _has(other, _grip(hammer, 1), HANDLE_WIDTH)
    if memory.closing and holds(gripper, grip, HANDLE_WIDTH) and not taken:
        return stay(gripper) if squeezing(gripper, HANDLE_WIDTH) else _offer(gripper, hammer)
    if taken or hammer.position[1] > -0.2:
        return _leave(gripper, hammer)
    return _fetch_over_walls(gripper, grip, nearest(_heading(hammer), BASE_YAWS[0], np.pi))


def plan_second(scene: Scene, memory: Memory) -> Goal:
    """Decide where the second arm's gripper goes now: trash away, hammer taken, and laid into the bin.

    Args:
        scene: what is seen.
        memory: what this arm remembers.
    """
    hammer, trash, _ = scene.objects
    other, gripper = scene.grippers
    grip = _grip(hammer, 1)
    if memory.closing and holds(gripper, grip, HANDLE_WIDTH):
        if squeezing(gripper, HANDLE_WIDTH) or _near(other, hammer):
            return stay(gripper)
        return _deliver(gripper, hammer)
    if memory.closing and holds(gripper, trash.position, TRASH_WIDTH):
        return stay(gripper) if squeezing(gripper, TRASH_WIDTH) else _drop_trash(gripper, trash)
    if not _within(trash, TRASH_BIN, INSIDE):
        return _fetch_over_walls(gripper, trash.position, nearest(trash.yaw, BASE_YAWS[1], np.pi / 2))
    yaw = nearest(_heading(hammer), BASE_YAWS[1], np.pi)
    if _has(other, _grip(hammer, 0), HANDLE_WIDTH) and np.linalg.norm(other.position - HANDOVER) < 0.03:
        return fetch(gripper, grip, yaw)
    if hammer.position[1] > 0.2:
        return _fetch_over_walls(gripper, grip, yaw)
    return _travel(gripper, WAITING, BASE_YAWS[1])


def _grip(hammer: Pose, arm: int) -> np.ndarray:
    """Where arm 0 or 1 grips the handle: on its own side of the middle."""
    axis = hammer.rotation.as_matrix()[:, 2]
    side = -1.0 if arm == 0 else 1.0
    return hammer.position + side * GRIPS[arm] * np.copysign(1.0, axis[1]) * axis


def _heading(hammer: Pose) -> float:
    axis = hammer.rotation.as_matrix()[:, 2]
    return float(np.arctan2(axis[1], axis[0]))


def _within(thing: Pose, place: np.ndarray, half_width: float) -> bool:
    return bool(np.abs(thing.position[:2] - place).max() < half_width)


def _has(gripper: Gripper, grip: np.ndarray, width: float) -> bool:
    """Whether the fingers of ``gripper`` have closed on what is ``width`` m wide at ``grip``."""
    return holds(gripper, grip, width) and not squeezing(gripper, width)


def _near(gripper: Gripper, hammer: Pose) -> bool:
    """Whether the first arm's gripper is still around the handle."""
    return bool(np.linalg.norm(gripper.position - _grip(hammer, 0)) < 0.08)


def _travel(gripper: Gripper, place: np.ndarray, yaw: float) -> Goal:
    """Go to ``place``, above the walls: up at first, where that is needed."""
    away = float(np.linalg.norm(place[:2] - gripper.position[:2]))
    low = gripper.position[2] < TRAVEL_HEIGHT - 0.06 and away > 0.03
    target = np.append(gripper.position[:2], place[2]) if low else place
    return Goal(target, pointing_down(yaw), close=False, reach=0.0 if low else away)


def _fetch_over_walls(gripper: Gripper, grasp: np.ndarray, yaw: float) -> Goal:
    """Fetch what lies between walls: come from above them."""
    goal = fetch(gripper, grasp, yaw)
    if goal.reach < 0.03:
        return goal
    return _travel(gripper, np.append(grasp[:2], max(TRAVEL_HEIGHT, grasp[2] + 0.05)), yaw)


def _lay_lid(gripper: Gripper, lid: Pose) -> Goal:
    """Lift the lid, take it to its place beside the bin, lower it there and let go."""
    offset = LID_PLACE - lid.position[:2]
    away = float(np.linalg.norm(offset))
    height = LID_CARRIED if away > 0.02 else LID_LAID - 0.02
    if lid.position[2] < LID_CARRIED - 0.015 and _within(lid, START_BIN, 0.1):
        offset = START_BIN - lid.position[:2]
    rotation = pointing_down(gripper.yaw + wrap(-lid.yaw))
    let_go = away < 0.05 and lid.position[2] < LID_LAID
    return Goal(gripper.position + [*offset, height - lid.position[2]], rotation, close=not let_go, reach=away)


def _drop_trash(gripper: Gripper, trash: Pose) -> Goal:
    """Lift the trash over the walls, lower it a little into its bin, and let go."""
    offset = TRASH_BIN - trash.position[:2]
    away = float(np.linalg.norm(offset))
    height = float(np.clip(TRASH_DROPPED - 0.02 + 2.0 * (away - 0.05), TRASH_DROPPED - 0.02, TRASH_CARRIED))
    if trash.position[2] < TRASH_CARRIED - 0.04 and _within(trash, TARGET_BIN, 0.2):
        offset = TARGET_BIN - trash.position[:2]
    let_go = away < 0.06 and trash.position[2] < TRASH_DROPPED
    return Goal(gripper.position + [*offset, height - trash.position[2]], pointing_down(BASE_YAWS[1]), not let_go, away)


def _offer(gripper: Gripper, hammer: Pose) -> Goal:
    """Lift the hammer amid its bin, then hold it out over the gap between the tables, along y."""
    if hammer.position[2] < HAMMER_CLEAR and _within(hammer, START_BIN, 0.2):
        middle = hammer.at(np.array([0.0, 0.0, MIDDLE]))
        offset = START_BIN - middle[:2]
        return Goal(gripper.position + [*offset, HANDOVER[2] - hammer.position[2]], gripper.rotation, True, 0.0)
    away = float(np.linalg.norm((HANDOVER - gripper.position)[:2]))
    turn = wrap(np.pi / 2 - _heading(hammer), np.pi)
    return Goal(HANDOVER, pointing_down(gripper.yaw + turn), close=True, reach=away)


def _leave(gripper: Gripper, hammer: Pose) -> Goal:
    """Let go of the hammer, rise straight from it, and get out of the way."""
    if gripper.width < OPEN_WIDTH and _near(gripper, hammer):
        return Goal(gripper.position, gripper.rotation, close=False, reach=0.0)
    if (
        gripper.position[2] < hammer.position[2] + 0.10
        and np.linalg.norm((gripper.position - hammer.position)[:2]) < 0.15
    ):
        return Goal(gripper.position + [0.0, 0.0, 0.1], gripper.rotation, close=False, reach=0.0)
    return Goal(
        ASIDE, pointing_down(BASE_YAWS[0]), close=False, reach=float(np.linalg.norm((ASIDE - gripper.position)[:2]))
    )


def _deliver(gripper: Gripper, hammer: Pose) -> Goal:
    """Take the hammer over the target bin, and lay it down amid the walls."""
    middle = hammer.at(np.array([0.0, 0.0, MIDDLE]))
    offset = TARGET_BIN - middle[:2]
    away = float(np.linalg.norm(offset))
    turn = wrap(np.pi / 2 - _heading(hammer), np.pi)
    height = float(
        np.clip(HAMMER_LAID - 0.03 + 8.0 * (away - 0.02) + 0.5 * (abs(turn) - 0.15), HAMMER_LAID - 0.03, HANDOVER[2])
    )
    if hammer.position[2] < HAMMER_CLEAR and away > 0.1:
        offset = offset * 0.0
    let_go = away < 0.05 and hammer.position[2] < HAMMER_LAID
    rotation = pointing_down(gripper.yaw + turn)
    return Goal(gripper.position + [*offset, height - hammer.position[2]], rotation, close=not let_go, reach=away)
