"""Transport: one arm uncovers a hammer and hands it to the other, which clears a bin of trash and lays it there."""

from __future__ import annotations

import numpy as np

from dto_agents.experts.grasping import OPEN_WIDTH, fetch, holds, squeezing
from dto_agents.experts.motion import MotionStyle
from dto_agents.experts.scene import Goal, Gripper, Memory, Pose, Scene, nearest, pointing_down, wrap

STYLE = MotionStyle(fastest_turn=0.35, agility=0.6, rotational_tremor=0.008)
OBJECTS = (0, 7, 14)  # the hammer at the middle of its handle, the trash, the lid's handle
BASE_YAWS = (np.pi / 2, -np.pi / 2)  # the arms face each other; their grippers start with these yaws, too

# Middles of the bins, which are 0.28 m wide inside and reach up to z = 0.95, and of the lid's place on the table.
START_BIN = np.array([0.2, -0.45])
TARGET_BIN = np.array([-0.2, 0.45])
LID_PLACE = np.array([-0.2, -0.45])
TRASH_BIN = np.array([0.2, 0.45])
DROP = np.array([0.2, 0.43])  # inward of the trash bin's middle, which is almost too near for the arm
BIN_REACH = 0.13  # |x| and |y| from the middle of a bin, up to which something is in it
TRAVEL_HEIGHT = 1.06  # of a gripper that passes over the walls
FOLDED = 0.44  # an empty gripper rises with |y| below this: nearer to its base, the arm folds until its elbow stops

LID_WIDTH, TRASH_WIDTH, HANDLE_WIDTH = 0.022, 0.04, 0.03
ABOVE = np.array([0.0, 0.0, 0.006])  # of what lies in a bin: finger tips that reach its middle rub on the floor
LID_CARRIED, LID_LAID = 1.05, 0.829  # heights of the lid's handle
TRASH_CARRIED, TRASH_DROPPED = 1.03, 0.95

GRIPS = (-0.05, 0.065)  # where each arm grips the hammer's handle: along it from its middle, positive towards +y
HAMMER_MIDDLE = np.array([0.0, 0.0, 0.018])  # of the whole hammer, in its frame; z points to the head
HAMMER_CLEAR = 1.0  # height from which on the hammer passes over the walls
HAMMER_LAID = 0.84
HANDOVER = np.array([0.0, -0.058, 1.06])  # the first gripper, when it offers the hammer: as far as both arms reach
WAITING = np.array([0.0, 0.12, 1.2])  # the second gripper, until then
ASIDE = np.array([0.0, -0.3, 1.2])  # the first gripper, after that


def plan_first(scene: Scene, memory: Memory) -> Goal:
    """Decide where the first arm's gripper goes now: lid away, hammer out of its bin, held out until it is taken.

    Args:
        scene: what is seen.
        memory: what this arm remembers.
    """
    hammer, _, lid = scene.objects
    gripper, other = scene.grippers
    if memory.closing and holds(gripper, lid.position, LID_WIDTH):
        return _squeeze(lid.position, gripper.yaw) if squeezing(gripper, LID_WIDTH) else _lay_lid(gripper, lid)
    if lid.position[2] > LID_LAID + 0.02:
        return _fetch_over_walls(gripper, lid.position, nearest(lid.yaw + np.pi / 2, BASE_YAWS[0], np.pi))
    grip, yaw = _grip(hammer, 0)
    taken = _holds_handle(other, hammer)
    if memory.closing and _around_handle(gripper, hammer) and not taken:
        return _squeeze(grip, yaw) if squeezing(gripper, HANDLE_WIDTH) else _offer(gripper, hammer)
    if taken or hammer.position[1] > -0.2:
        return _leave(gripper, hammer)
    return _fetch_over_walls(gripper, grip, yaw)


def plan_second(scene: Scene, memory: Memory) -> Goal:
    """Decide where the second arm's gripper goes now: trash away, hammer taken, and laid into the bin.

    Args:
        scene: what is seen.
        memory: what this arm remembers.
    """
    hammer, trash, _ = scene.objects
    other, gripper = scene.grippers
    grip, yaw = _grip(hammer, 1)
    if memory.closing and _around_handle(gripper, hammer):
        if squeezing(gripper, HANDLE_WIDTH):
            return _squeeze(grip, yaw)
        released = _beside_handle(other, hammer)[1] > 0.08
        return _deliver(gripper, hammer) if released else _squeeze(gripper.position, gripper.yaw)
    pinch = trash.position + ABOVE
    if memory.closing and holds(gripper, pinch, TRASH_WIDTH):
        return _squeeze(pinch, gripper.yaw) if squeezing(gripper, TRASH_WIDTH) else _drop_trash(gripper, trash)
    if not _in_bin(trash, TRASH_BIN):
        return _fetch_over_walls(gripper, pinch, nearest(trash.yaw, BASE_YAWS[1], np.pi / 2))
    if _holds_handle(other, hammer) and np.linalg.norm(other.position - HANDOVER) < 0.03:
        return fetch(gripper, grip, yaw)
    if hammer.position[1] > 0.2:
        return _fetch_over_walls(gripper, grip, yaw)
    return _travel(gripper, WAITING, BASE_YAWS[1])


def _in_bin(thing: Pose, middle: np.ndarray) -> bool:
    """Whether ``thing`` is in or above the bin around ``middle``."""
    return bool(np.abs(thing.position[:2] - middle).max() < BIN_REACH)


def _axis(hammer: Pose) -> np.ndarray:
    """Direction (3,) of the handle, towards +y."""
    axis = hammer.rotation.as_matrix()[:, 2]
    return np.copysign(1.0, axis[1]) * axis


def _heading(hammer: Pose) -> float:
    """Angle of the handle about the world's z; as good as the one turned by pi."""
    x, y, _ = _axis(hammer)
    return float(np.arctan2(y, x))


def _on_handle(hammer: Pose, along: float) -> np.ndarray:
    return hammer.position + along * _axis(hammer)


def _grip(hammer: Pose, arm: int) -> tuple[np.ndarray, float]:
    """Where an arm grips the handle, and its gripper's yaw."""
    return _on_handle(hammer, GRIPS[arm]) + ABOVE, nearest(_heading(hammer), BASE_YAWS[arm], np.pi)


def _beside_handle(gripper: Gripper, hammer: Pose) -> tuple[float, float]:
    """How far along the handle the gripper is, and how far off it."""
    offset = gripper.position - hammer.position
    along = float(offset @ _axis(hammer))
    return along, float(np.linalg.norm(gripper.position - _on_handle(hammer, np.clip(along, -0.1, 0.1))))


def _around_handle(gripper: Gripper, hammer: Pose) -> bool:
    """Whether the handle is between the fingers, closed or not."""
    return _beside_handle(gripper, hammer)[1] < 0.025 and 0.6 * HANDLE_WIDTH < gripper.width


def _holds_handle(gripper: Gripper, hammer: Pose) -> bool:
    """Whether the fingers have closed on the handle."""
    return _around_handle(gripper, hammer) and gripper.width < 1.05 * HANDLE_WIDTH


def _squeeze(grasp: np.ndarray, yaw: float) -> Goal:
    """Keep the gripper at ``grasp`` while the fingers close."""
    return Goal(grasp, pointing_down(yaw), close=True, reach=0.0)


def _travel(gripper: Gripper, place: np.ndarray, yaw: float) -> Goal:
    """Go to ``place`` with open fingers, above the walls: up at first, where that is needed."""
    away = float(np.linalg.norm(place[:2] - gripper.position[:2]))
    if gripper.position[2] > TRAVEL_HEIGHT - 0.08 or away < 0.03:
        return Goal(place, pointing_down(yaw), close=False, reach=away)
    x, y, _ = gripper.position
    return Goal(np.array([x, np.clip(y, -FOLDED, FOLDED), place[2]]), pointing_down(yaw), close=False, reach=0.0)


def _fetch_over_walls(gripper: Gripper, grasp: np.ndarray, yaw: float) -> Goal:
    """Fetch what lies between walls: come from above them."""
    goal = fetch(gripper, grasp, yaw)
    if goal.reach < 0.03:
        return goal
    return _travel(gripper, np.append(grasp[:2], max(TRAVEL_HEIGHT, grasp[2] + 0.05)), yaw)


def _lay_lid(gripper: Gripper, lid: Pose) -> Goal:
    """Lift the lid, take it to its place beside the bin, lower it there and let go."""
    rising = lid.position[2] < LID_CARRIED - 0.05 and _in_bin(lid, START_BIN)
    offset = (START_BIN if rising else LID_PLACE) - lid.position[:2]
    away = float(np.linalg.norm(LID_PLACE - lid.position[:2]))
    height = LID_CARRIED if away > 0.02 else LID_LAID - 0.02
    let_go = away < 0.05 and lid.position[2] < LID_LAID
    target = gripper.position + [*offset, height - lid.position[2]]
    rotation = pointing_down(gripper.yaw - wrap(lid.yaw))
    return Goal(target, rotation, close=not let_go, reach=0.0 if rising else away)


def _drop_trash(gripper: Gripper, trash: Pose) -> Goal:
    """Lift the trash over the walls, lower it a little into its bin, and let go."""
    rising = trash.position[2] < TRASH_CARRIED - 0.05 and _in_bin(trash, TARGET_BIN)
    offset = (TARGET_BIN if rising else DROP) - trash.position[:2]
    away = float(np.linalg.norm(DROP - trash.position[:2]))
    lowest = TRASH_DROPPED - 0.02
    height = float(np.clip(lowest + 2.0 * (away - 0.05), lowest, TRASH_CARRIED))
    let_go = away < 0.06 and trash.position[2] < TRASH_DROPPED
    target = gripper.position + [*offset, height - trash.position[2]]
    return Goal(target, pointing_down(BASE_YAWS[1]), close=not let_go, reach=0.0 if rising else away)


def _offer(gripper: Gripper, hammer: Pose) -> Goal:
    """Lift the hammer amid its bin, then hold it out over the gap between the tables, along y."""
    middle = hammer.at(HAMMER_MIDDLE)
    if hammer.position[2] < HAMMER_CLEAR and _in_bin(hammer, START_BIN):
        target = gripper.position + [*(START_BIN - middle[:2]), HANDOVER[2] - hammer.position[2]]
        return Goal(target, pointing_down(gripper.yaw), close=True, reach=0.0)
    away = float(np.linalg.norm((HANDOVER - gripper.position)[:2]))
    turn = wrap(np.pi / 2 - _heading(hammer), np.pi)
    return Goal(HANDOVER, pointing_down(gripper.yaw + turn), close=True, reach=away)


def _leave(gripper: Gripper, hammer: Pose) -> Goal:
    """Let go of the hammer, rise straight from it, and get out of the way."""
    _, off = _beside_handle(gripper, hammer)
    if off < 0.12:
        rise = 0.1 if gripper.width > OPEN_WIDTH else 0.0
        return Goal(gripper.position + [0.0, 0.0, rise], pointing_down(gripper.yaw), close=False, reach=0.0)
    return _travel(gripper, ASIDE, BASE_YAWS[0])


def _deliver(gripper: Gripper, hammer: Pose) -> Goal:
    """Take the hammer over the target bin, and lay it down amid the walls."""
    middle = hammer.at(HAMMER_MIDDLE)
    offset = TARGET_BIN - middle[:2]
    away = float(np.linalg.norm(offset))
    turn = wrap(np.pi / 2 - _heading(hammer), np.pi)
    lowest = HAMMER_LAID - 0.03
    misfit = max(away - 0.02, 0.0) + 0.06 * max(abs(turn) - 0.15, 0.0)
    height = float(np.clip(lowest + 8.0 * misfit, lowest, HANDOVER[2]))
    if hammer.position[2] < HAMMER_CLEAR and away > 0.1:
        offset = np.zeros(2)
    let_go = away < 0.05 and hammer.position[2] < HAMMER_LAID
    target = gripper.position + [*offset, height - hammer.position[2]]
    return Goal(target, pointing_down(gripper.yaw + turn), close=not let_go, reach=away)
