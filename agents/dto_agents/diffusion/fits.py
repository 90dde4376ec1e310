"""Which points of things the tasks bring together, to be shown to policies that have to fit them."""

from __future__ import annotations

import numpy as np

from dto_agents.diffusion.features import WORLD, Fit, Point
from dto_agents.experts import transport
from dto_agents.experts.toolhang import BUMP, GRIP, HOLE, OBJECTS, RING, STANDING, TIP

_STAND, _FRAME, _TOOL = OBJECTS
_HAND = 44
_ALONG_ROD = np.array([0.0, 0.0, 0.1])
_TO_HANDLE = np.array([0.1, 0.0, 0.0])


def _fit(moving: int, point: np.ndarray, still: int, place: np.ndarray) -> Fit:
    return Fit(moving, _point(point), still, _point(place))


def _grasp(moving: int, point: np.ndarray, hand: int = _HAND) -> Fit:
    """What belongs between the fingers, where it then stays most of the time."""
    return Fit(moving, _point(point), hand, (0.0, 0.0, 0.0), near=0.0)


def _bring(moving: int, point: np.ndarray, place: np.ndarray, near: float = 0.0) -> Fit:
    """What belongs somewhere in the world, where there is room."""
    return Fit(moving, _point(point), WORLD, _point(place), near)


def _point(values: np.ndarray) -> Point:
    x, y, z = (round(float(value), 6) for value in values)
    return x, y, z


# The rod's tip and a point further up over the hole's rim, and the hook where it points then; the large ring around the
# bump at the hook's end, and the handle away from the hook; three points tell of a turn, too. Then what is grasped.
TOOLHANG = (
    _fit(_FRAME, TIP, _STAND, HOLE),
    _fit(_FRAME, TIP + _ALONG_ROD, _STAND, HOLE + _ALONG_ROD),
    _fit(_FRAME, BUMP, _STAND, HOLE + STANDING.apply(BUMP - TIP)),
    _fit(_TOOL, RING, _FRAME, BUMP),
    _fit(_TOOL, RING + _TO_HANDLE, _FRAME, BUMP - _TO_HANDLE),
    _grasp(_FRAME, GRIP),
    _grasp(_TOOL, np.zeros(3)),
)

# What Transport's hands grasp: the lid and the trash, the hammer's handle by either half; where hammer and trash are
# laid down, the lid beside its bin; and where the first hand holds the hammer out, until the second has it.
_HAMMER, _TRASH, _LID = transport.OBJECTS
_FIRST, _SECOND = 41, 50
_HALF_HANDLE = np.array([0.0, 0.0, 0.06])
TRANSPORT = (
    _grasp(_LID, np.zeros(3), _FIRST),
    _grasp(_TRASH, np.zeros(3), _SECOND),
    *(_grasp(_HAMMER, side * _HALF_HANDLE, hand) for hand in (_FIRST, _SECOND) for side in (-1.0, 1.0)),
    _bring(_LID, np.zeros(3), np.append(transport.LID_PLACE, transport.LID_LAID)),
    _bring(_TRASH, np.zeros(3), np.append(transport.DROP, transport.TRASH_DROPPED)),
    _bring(_HAMMER, transport.HAMMER_MIDDLE, np.append(transport.TARGET_BIN, transport.HAMMER_LAID)),
    _bring(_FIRST, np.zeros(3), transport.HANDOVER, near=0.03),
)
