"""The RC car from above: track or manoeuvre, cans, target poses, tyre marks. Nothing here needs a screen."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame  # noqa: E402

from dto_envs.rc_car.car import CarParameters  # noqa: E402
from dto_envs.rc_car.scenarios import CAN_RADIUS, CAR_LENGTH, CAR_WIDTH  # noqa: E402
from dto_envs.rc_car.tracks import Track  # noqa: E402

FRAME_WIDTH, LEAST_HEIGHT, STEP = 800, 400, 16  # px; video codecs like sides that 16 divides
MARGIN = 0.7  # m around what must be seen
FLOOR, LINES = (226, 224, 218), (213, 211, 204)
ASPHALT, EDGE, START_LINE = (120, 122, 126), (250, 250, 250), (40, 40, 40)
GATE, PASSED = (190, 190, 190), (120, 210, 130)
CAN, CAN_TOP = (205, 35, 40), (235, 235, 235)
TARGET, WAY_POINT = (122, 60, 200), (168, 130, 220)
BODY, BODY_EDGE, GLASS, NOSE = (35, 110, 215), (15, 45, 110), (25, 30, 45), (255, 200, 60)
WHEEL, MARK, TEXT = (20, 20, 20), (58, 56, 54), (30, 30, 30)
WHEEL_LENGTH, WHEEL_WIDTH, MARK_WIDTH = 0.075, 0.035, 0.022  # m
SLIDES = 0.25  # share of a step from which on a tyre leaves a mark
PIECES = 4  # of a mark, per control step

_CAR = CarParameters()
_WHEELS = np.array([(x, y) for x in (_CAR.axle, -_CAR.axle) for y in (_CAR.half_track, -_CAR.half_track)])


@dataclass(frozen=True, eq=False)
class Scene:
    """What is around the car.

    Attributes:
        points: (N, 2) what the picture must show, m.
        targets: poses x, y in m, heading in rad; the last is the final one.
        cans: centres, m.
        track: the track, or None.
        passed: number of the track's gates that have been reached.
    """

    points: np.ndarray
    targets: tuple[tuple[float, float, float], ...] = ()
    cans: tuple[tuple[float, float], ...] = ()
    track: Track | None = None
    passed: int = 0


class Painter:
    """Paints one episode after the other; tyre marks stay until the next begins."""

    def __init__(self, size: tuple[int, int], oversampling: int) -> None:
        """Make the canvases; :meth:`begin` fills them.

        Args:
            size: width and height of the pictures, px.
            oversampling: everything is drawn so many times as large, then averaged down.
        """
        fine = (size[0] * oversampling, size[1] * oversampling)
        self._ground, self._fine, self._canvas = _canvas(fine), _canvas(fine), _canvas(size)
        self._view = View(np.zeros((1, 2)), fine)
        self._font: pygame.font.Font | None = None

    @property
    def view(self) -> View:
        """Where metres are, on the canvas before it is averaged down."""
        return self._view

    def begin(self, scene: Scene) -> None:
        """Draw the floor and what is fixed on it, free of marks."""
        self._view = View(scene.points, self._fine.get_size())
        _paint_floor(self._ground, self._view)
        if scene.track is not None:
            _paint_track(self._ground, self._view, scene.track)

    def mark(self, before: np.ndarray, after: np.ndarray, sliding: np.ndarray) -> None:
        """Leave marks of the tyres that slid on the way from one state (3+,) to the next.

        Args:
            before: x, y in m, heading in rad, at the start of the step.
            after: the same at its end.
            sliding: (4,) share of the step during which each tyre slid.
        """
        poses = np.linspace(before[:3], after[:3], PIECES + 1)
        width = self._view.length(MARK_WIDTH)
        for wheel in np.flatnonzero(np.asarray(sliding) >= SLIDES):
            path = self._view.px([_place(pose, _WHEELS[wheel : wheel + 1])[0] for pose in poses])
            pygame.draw.lines(self._ground, MARK, False, path, width)
            pygame.draw.circle(self._ground, MARK, path[-1], width // 2)

    def paint(self, scene: Scene, state: np.ndarray, action: np.ndarray, readout: str | None = None) -> pygame.Surface:
        """Paint the car and what stands around it.

        Args:
            scene: as given to :meth:`begin`, with the gates reached since.
            state: (3+,) x, y in m, heading in rad.
            action: (2,) the last throttle and steering; the front wheels show the latter.
            readout: a line of text, or None.

        Returns:
            The canvas; the next call paints over it.
        """
        fine, view = self._fine, self._view
        fine.blit(self._ground, (0, 0))
        if scene.track is not None:
            _paint_gates(fine, view, scene.track, scene.passed)
        for index, pose in enumerate(scene.targets):
            _paint_target(fine, view, pose, final=index == len(scene.targets) - 1)
        for can in scene.cans:
            _paint_can(fine, view, can)
        _paint_car(fine, view, state, float(action[1]) * _CAR.steering)
        pygame.transform.smoothscale(fine, self._canvas.get_size(), self._canvas)
        if readout is not None:
            self._canvas.blit(self._text(readout), (12, self._canvas.get_height() - 28))
        return self._canvas

    def _text(self, line: str) -> pygame.Surface:
        if self._font is None:
            pygame.font.init()
            self._font = pygame.font.Font(None, 24)
        return self._font.render(line, True, TEXT)


def frame_size(scene: Scene) -> tuple[int, int]:
    """Width and height in px of a picture that fits a scene."""
    width, height = np.ptp(scene.points, axis=0) + 2 * MARGIN
    fitting = STEP * math.ceil(FRAME_WIDTH * height / width / STEP)
    return FRAME_WIDTH, min(max(fitting, LEAST_HEIGHT), FRAME_WIDTH)


def pixels(canvas: pygame.Surface) -> np.ndarray:
    """A canvas as an image (height, width, 3) uint8."""
    return np.ascontiguousarray(pygame.surfarray.array3d(canvas).swapaxes(0, 1))


class View:
    """Where metres are on a canvas of width x height px that shows points (N, 2) with a margin; y points upwards."""

    def __init__(self, points: np.ndarray, size: tuple[int, int]) -> None:
        """Fit the points into the middle of the canvas."""
        low, high = points.min(axis=0), points.max(axis=0)
        self.size = np.array(size)
        self.scale = float((self.size / (high - low + 2 * MARGIN)).min())
        self.low = (low + high) / 2 - self.size / self.scale / 2

    def px(self, points: Sequence | np.ndarray) -> list[tuple[float, float]]:
        """Points (N, 2) in m as px from the upper left."""
        placed = (np.asarray(points, dtype=np.float64) - self.low) * self.scale
        return [(x, self.size[1] - y) for x, y in placed.tolist()]

    def length(self, metres: float) -> int:
        """A length in m as whole px, at least 1."""
        return max(1, round(metres * self.scale))


def _canvas(size: tuple[int, int]) -> pygame.Surface:
    return pygame.Surface(size, depth=32, masks=(0xFF0000, 0xFF00, 0xFF, 0))


def _place(pose: Sequence[float] | np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) of a body at ``pose`` in the world, m."""
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    return points @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(pose[:2])


def _box(length: float, width: float, x: float = 0.0, y: float = 0.0, angle: float = 0.0) -> np.ndarray:
    """Corners (4, 2) of a rectangle in a body's frame."""
    corners = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) * np.array([length, width]) / 2
    return _place((x, y, angle), corners)


def _paint_floor(canvas: pygame.Surface, view: View) -> None:
    """A floor with a line every half metre."""
    canvas.fill(FLOOR)
    high = view.low + view.size / view.scale
    for axis in (0, 1):
        first = math.ceil(view.low[axis] / 0.5) * 0.5
        for value in np.arange(first, high[axis], 0.5):
            ends = np.array([view.low, high])
            ends[:, axis] = value
            start, end = view.px(ends)
            pygame.draw.line(canvas, LINES, start, end, view.length(0.008))


def _paint_track(canvas: pygame.Surface, view: View, track: Track) -> None:
    progress = np.linspace(0, track.length, 400)
    left, right = (view.px(track.poses(progress, side * track.width / 2)[:, :2]) for side in (1, -1))
    for i in range(len(progress) - 1):
        pygame.draw.polygon(canvas, ASPHALT, [left[i], left[i + 1], right[i + 1], right[i]])
    for edge in (left, right):
        pygame.draw.lines(canvas, EDGE, True, edge, view.length(0.03))
    tile = track.width / 8
    for column in range(2):
        for row in range(8):
            offset = (row - 3.5) * tile
            x, y, heading = track.poses(np.array([column * tile]), offset)[0]
            color = START_LINE if (row + column) % 2 else EDGE
            pygame.draw.polygon(canvas, color, view.px(_place((x, y, heading), _box(tile, tile))))


def _paint_gates(canvas: pygame.Surface, view: View, track: Track, passed: int) -> None:
    """A line across the track at every gate but the start line, green once it was reached."""
    for index, progress in enumerate(track.gates[1:], start=1):
        ends = [track.poses(np.array([progress]), side * (track.width / 2 - 0.02))[0, :2] for side in (1, -1)]
        start, end = view.px(ends)
        pygame.draw.line(canvas, PASSED if index < passed else GATE, start, end, view.length(0.025))


def _paint_target(canvas: pygame.Surface, view: View, pose: Sequence[float], *, final: bool) -> None:
    """The outline of a car at a pose, an arrow in it: thick for the final target, thin for the way point."""
    color, width = (TARGET, 0.025) if final else (WAY_POINT, 0.014)
    outline = view.px(_place(pose, _box(CAR_LENGTH, CAR_WIDTH)))
    pygame.draw.lines(canvas, color, True, outline, view.length(width))
    tail, tip, left, right = view.px(_place(pose, np.array([(-0.1, 0), (0.11, 0), (0.04, 0.05), (0.04, -0.05)])))
    pygame.draw.line(canvas, color, tail, tip, view.length(width))
    pygame.draw.lines(canvas, color, False, [left, tip, right], view.length(width))


def _paint_can(canvas: pygame.Surface, view: View, centre: tuple[float, float]) -> None:
    (place,) = view.px([centre])
    pygame.draw.circle(canvas, CAN, place, view.scale * CAN_RADIUS)
    pygame.draw.circle(canvas, CAN_TOP, place, view.scale * CAN_RADIUS * 0.4)


def _paint_car(canvas: pygame.Surface, view: View, pose: np.ndarray, steering: float) -> None:
    """Wheels, the front ones turned by ``steering`` in rad, then the body with its nose and windscreen."""
    for index, (x, y) in enumerate(_WHEELS):
        wheel = _box(WHEEL_LENGTH, WHEEL_WIDTH, x, 1.25 * y, steering if index < 2 else 0.0)
        pygame.draw.polygon(canvas, WHEEL, view.px(_place(pose, wheel)))
    half, side, cut = CAR_LENGTH / 2, CAR_WIDTH / 2 - 0.02, 0.04
    body = [(half, side - cut), (half, cut - side), (half - cut, -side), (-half, -side), (-half, side)]
    outline = view.px(_place(pose, np.array([*body, (half - cut, side)])))
    pygame.draw.polygon(canvas, BODY, outline)
    pygame.draw.lines(canvas, BODY_EDGE, True, outline, view.length(0.012))
    pygame.draw.polygon(canvas, GLASS, view.px(_place(pose, _box(0.06, 0.11, 0.045))))
    pygame.draw.polygon(canvas, NOSE, view.px(_place(pose, _box(0.03, 0.08, half - 0.025))))
