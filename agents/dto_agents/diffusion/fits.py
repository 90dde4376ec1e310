"""Which points of things the tasks bring together, to be shown to policies that have to fit them."""

from __future__ import annotations

import numpy as np

from dto_agents.diffusion.features import Fit, Point
from dto_agents.experts.toolhang import BUMP, HOLE, OBJECTS, RING, STANDING, TIP

_STAND, _FRAME, _TOOL = OBJECTS
_ALONG_ROD = np.array([0.0, 0.0, 0.1])
_TO_HANDLE = np.array([0.1, 0.0, 0.0])


def _fit(moving: int, point: np.ndarray, still: int, place: np.ndarray) -> Fit:
    return Fit(moving, _point(point), still, _point(place))


def _point(values: np.ndarray) -> Point:
    x, y, z = (round(float(value), 6) for value in values)
    return x, y, z


# The rod's tip and a point further up over the hole's rim, and the hook where it points then; the large ring around the
# bump at the hook's end, and the handle away from the hook. Three points tell of a turn, too.
TOOLHANG = (
    _fit(_FRAME, TIP, _STAND, HOLE),
    _fit(_FRAME, TIP + _ALONG_ROD, _STAND, HOLE + _ALONG_ROD),
    _fit(_FRAME, BUMP, _STAND, HOLE + STANDING.apply(BUMP - TIP)),
    _fit(_TOOL, RING, _FRAME, BUMP),
    _fit(_TOOL, RING + _TO_HANDLE, _FRAME, BUMP - _TO_HANDLE),
)
