"""The shape of the T: its two rectangles, its nine keypoints, and how much of the goal it covers.

All lengths are in px. The T's frame has its origin in the middle of the bar's outer edge and its y axis along the stem;
the world's y axis points down the screen.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BAR = ((-60.0, 30.0), (60.0, 30.0), (60.0, 0.0), (-60.0, 0.0))
STEM = ((-15.0, 30.0), (-15.0, 120.0), (15.0, 120.0), (15.0, 30.0))
AREA = 120.0 * 30.0 + 30.0 * 90.0
GOAL_X, GOAL_Y, GOAL_ANGLE = 256.0, 256.0, math.pi / 4

# The nine points of the recorded data set's `keypoint` array, in the T's frame: what its block poses and keypoints
# have in common, averaged over the 25,650 recorded steps.
KEYPOINTS = np.array(
    [
        (9.269787, 90.040974),
        (-60.983472, -1.186730),
        (60.912756, -1.393364),
        (-0.270503, 25.543625),
        (-14.064927, 122.815854),
        (39.002738, 32.857404),
        (-39.966414, 32.729656),
        (-16.824344, 62.863179),
        (23.541461, -1.700288),
    ]
)

_PIECES = np.array([BAR, STEM])
# The same rectangles as x_min, x_max, y_min, y_max.
_BOXES = np.array([(-60.0, 60.0, 0.0, 30.0), (-15.0, 15.0, 30.0, 120.0)])


@njit(cache=True)
def _clip_half_plane(polygon, count, axis, sign, limit, out):
    """Keep the part of a convex polygon where ``sign * p[axis] <= sign * limit`` (one pass of Sutherland-Hodgman)."""
    kept = 0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        here = sign * (polygon[i, axis] - limit)
        there = sign * (polygon[j, axis] - limit)
        if here <= 0.0:
            out[kept] = polygon[i]
            kept += 1
        if (here < 0.0 < there) or (there < 0.0 < here):
            fraction = here / (here - there)
            other = 1 - axis
            out[kept, axis] = limit
            out[kept, other] = polygon[i, other] + fraction * (polygon[j, other] - polygon[i, other])
            kept += 1
    return kept


@njit(cache=True)
def _overlap(corners, box):
    """Area shared by a convex quadrilateral ``corners`` (4, 2) and a box (x_min, x_max, y_min, y_max)."""
    polygon = np.empty((8, 2))
    clipped = np.empty((8, 2))
    polygon[:4] = corners
    count = 4
    for side in range(4):
        sign = -1.0 if side % 2 == 0 else 1.0
        count = _clip_half_plane(polygon, count, side // 2, sign, box[side], clipped)
        if count < 3:
            return 0.0
        polygon, clipped = clipped, polygon
    doubled = 0.0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        doubled += polygon[i, 0] * polygon[j, 1] - polygon[j, 0] * polygon[i, 1]
    return abs(doubled) / 2.0


@njit(cache=True)
def coverage(x, y, angle):
    """Share of the goal that a T at the pose ``x``, ``y`` (px), ``angle`` (rad) covers, in [0, 1].

    The block is moved into the goal's frame, where both of the goal's rectangles are axis-parallel, and its two convex
    pieces are clipped there: the exact area of the intersection, up to rounding.
    """
    cos_goal, sin_goal = math.cos(GOAL_ANGLE), math.sin(GOAL_ANGLE)
    right = cos_goal * (x - GOAL_X) + sin_goal * (y - GOAL_Y)
    down = -sin_goal * (x - GOAL_X) + cos_goal * (y - GOAL_Y)
    cos_turn, sin_turn = math.cos(angle - GOAL_ANGLE), math.sin(angle - GOAL_ANGLE)
    corners = np.empty((4, 2))
    shared = 0.0
    for piece in range(2):
        for i in range(4):
            local_x, local_y = _PIECES[piece, i, 0], _PIECES[piece, i, 1]
            corners[i, 0] = right + cos_turn * local_x - sin_turn * local_y
            corners[i, 1] = down + sin_turn * local_x + cos_turn * local_y
        for goal_piece in range(2):
            shared += _overlap(corners, _BOXES[goal_piece])
    return min(shared / AREA, 1.0)


@njit(cache=True)
def observe(agent_x, agent_y, x, y, angle, out):
    """Write the state observation (20,) into ``out`` and return the coverage.

    Args:
        agent_x: the agent's position, px.
        agent_y: the agent's position, px.
        x: the block's position, px.
        y: the block's position, px.
        angle: the block's angle, rad.
        out: (20,) float64, filled with the agent's x, y and the nine keypoints' x, y.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    out[0], out[1] = agent_x, agent_y
    for i in range(KEYPOINTS.shape[0]):
        local_x, local_y = KEYPOINTS[i, 0], KEYPOINTS[i, 1]
        out[2 + 2 * i] = x + cos * local_x - sin * local_y
        out[3 + 2 * i] = y + sin * local_x + cos * local_y
    return coverage(x, y, angle)


def keypoints(poses: np.ndarray) -> np.ndarray:
    """Keypoints (..., 9, 2) in px of blocks at ``poses`` (..., 3): x, y in px and the angle in rad."""
    poses = np.asarray(poses, dtype=np.float64)
    cos, sin = np.cos(poses[..., 2, None]), np.sin(poses[..., 2, None])
    x = poses[..., 0, None] + cos * KEYPOINTS[:, 0] - sin * KEYPOINTS[:, 1]
    y = poses[..., 1, None] + sin * KEYPOINTS[:, 0] + cos * KEYPOINTS[:, 1]
    return np.stack([x, y], axis=-1)
