"""Push-T as pictures, in the look of the recorded data set. Nothing here needs a screen."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numba import njit

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame  # noqa: E402

from dto_envs.pusht.geometry import BAR, GOAL_ANGLE, GOAL_X, GOAL_Y, STEM  # noqa: E402
from dto_envs.pusht.physics import AGENT_RADIUS, WALLS  # noqa: E402

SIZE = 512
WHITE = (255, 255, 255)
WALL = (211, 211, 211)
GOAL = (144, 238, 144)
BLOCK_EDGE, BLOCK = (119, 136, 153), (143, 163, 184)
AGENT_EDGE, AGENT = (65, 105, 225), (78, 126, 255)
TARGET = (255, 0, 0)
EDGE_WIDTH = 5
SHIFTS = (16, 8, 0)  # of red, green and blue in a 32-bit pixel


def _corners(piece: Sequence[tuple[float, float]], x: float, y: float, angle: float) -> list[tuple[int, int]]:
    """Corners of a piece of the T at a pose, in whole px."""
    cos, sin = np.cos(angle), np.sin(angle)
    return [(round(x + cos * u - sin * v), round(y + sin * u + cos * v)) for u, v in piece]


def _round_line(canvas: pygame.Surface, color: tuple, start: tuple[int, int], end: tuple[int, int]) -> None:
    pygame.draw.line(canvas, color, start, end, EDGE_WIDTH)
    pygame.draw.circle(canvas, color, start, EDGE_WIDTH // 2)
    pygame.draw.circle(canvas, color, end, EDGE_WIDTH // 2)


def _background() -> pygame.Surface:
    canvas = pygame.Surface((SIZE, SIZE), depth=32, masks=(0xFF0000, 0xFF00, 0xFF, 0))
    canvas.fill(WHITE)
    for piece in (BAR, STEM):
        pygame.draw.polygon(canvas, GOAL, _corners(piece, GOAL_X, GOAL_Y, GOAL_ANGLE))
    for start, end in WALLS:
        _round_line(canvas, WALL, start, end)
    return canvas


class Painter:
    """Paints states on one canvas that it keeps, over a background that is drawn once."""

    def __init__(self) -> None:
        """Draw walls and goal."""
        self._background = _background()
        self._canvas = self._background.copy()

    def paint(self, state: Sequence[float], target: Sequence[float] | None = None) -> pygame.Surface:
        """Paint agent, block and, where given, the target.

        Args:
            state: agent x, agent y, block x, block y in px, block angle in rad.
            target: the last action in px, marked by a red cross; None for no mark.

        Returns:
            The canvas, 512 x 512 px; the next call paints over it.
        """
        canvas = self._canvas
        canvas.blit(self._background, (0, 0))
        agent_x, agent_y, x, y, angle = state
        agent = (round(agent_x), round(agent_y))
        pygame.draw.circle(canvas, AGENT_EDGE, agent, AGENT_RADIUS)
        pygame.draw.circle(canvas, AGENT, agent, AGENT_RADIUS - 4)
        for piece in (BAR, STEM):
            corners = _corners(piece, x, y, angle)
            pygame.draw.polygon(canvas, BLOCK, corners)
            for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
                _round_line(canvas, BLOCK_EDGE, start, end)
        if target is not None:
            u, v = round(target[0]), round(target[1])
            pygame.draw.line(canvas, TARGET, (u - 20, v), (u + 20, v), 5)
            pygame.draw.line(canvas, TARGET, (u, v - 20), (u, v + 20), 5)
        return canvas


def pixels(canvas: pygame.Surface, size: int = SIZE) -> np.ndarray:
    """A canvas as an image (size, size, 3) uint8.

    A smaller size is sampled bilinearly at the new pixels' centres, as the recorded images were (no area averaging).
    """
    packed = pygame.surfarray.pixels2d(canvas).T
    image = np.empty((size, size, 3), dtype=np.uint8)
    if size == SIZE:
        for channel, shift in enumerate(SHIFTS):
            image[..., channel] = packed >> shift & 0xFF
    else:
        _sample(packed, image)
    return image


@njit(cache=True)
def _sample(packed, image):
    """Fill ``image`` (size, size, 3) from 32-bit pixels (SIZE, SIZE): red, green and blue from the third byte down."""
    size = image.shape[0]
    scale = packed.shape[0] / size
    for row in range(size):
        y = (row + 0.5) * scale - 0.5
        top = int(y)
        down = y - top
        for column in range(size):
            x = (column + 0.5) * scale - 0.5
            left = int(x)
            right = x - left
            corners = (
                (top, left, (1 - down) * (1 - right)),
                (top, left + 1, (1 - down) * right),
                (top + 1, left, down * (1 - right)),
                (top + 1, left + 1, down * right),
            )
            for channel in range(3):
                value = 0.5
                for i, j, share in corners:
                    value += share * (packed[i, j] >> SHIFTS[channel] & 0xFF)
                image[row, column, channel] = np.uint8(value)
