"""Pictures of planar pushing that a person can follow. Nothing here needs a screen, except :class:`Window`."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame  # noqa: E402

from dto_envs.planar_push.constants import DT, FINGER_RADIUS, FINGERS, KEYFRAMES  # noqa: E402
from dto_envs.planar_push.physics import TRACE_DT, trajectory_loss  # noqa: E402
from dto_envs.planar_push.shapes import to_world  # noqa: E402
from dto_envs.planar_push.tasks import Task  # noqa: E402

SIZE = 512
# Everything is drawn larger and shrunk, which smooths edges.
ZOOM = 2
LEFT, BOTTOM, SIDE = -0.47, -0.09, 0.94
SCALE = SIZE * ZOOM / SIDE

SKY, GROUND, GROUND_EDGE = (255, 255, 255), (226, 222, 214), (120, 112, 100)
GHOST, GHOST_EDGE = (226, 238, 216), (84, 148, 52)
OBJECT, OBJECT_EDGE, PAST = (158, 188, 226), (42, 84, 148), (176, 192, 216)
FINGER_COLORS = ((214, 84, 20), (128, 48, 160))
GROUND_FORCE = (90, 84, 74)
TEXT = (60, 60, 60)
# Fingers of 4 mm would be specks: they are drawn larger, around their true place.
FINGER_DRAWN = 2.5 * FINGER_RADIUS
METERS_PER_NEWTON = 0.008
ARROW_HEAD = 0.02
SMALLEST_ARROW = 0.15  # N
DASH = 0.02


@dataclass(frozen=True)
class Scene:
    """An episode so far.

    Attributes:
        task: the object and its desired motion.
        trace: (N, 7) the object's pose and both fingers' positions every 10 ms.
        forces: (T, 3, 2) mean force on the object in N in the interval that ends at each keyframe, from the two
            fingers and the ground.
        placed: whether the fingers have been placed; before that nothing is judged.
    """

    task: Task
    trace: np.ndarray
    forces: np.ndarray
    placed: bool


class Painter:
    """Draws the moments of one scene."""

    def __init__(self, scene: Scene) -> None:
        """Prepare to draw ``scene``."""
        pygame.font.init()
        self._scene = scene
        self._font = pygame.font.Font(None, 26 * ZOOM)

    def picture(self, row: int) -> np.ndarray:
        """(512, 512, 3) uint8: the moment of row ``row`` of the trace, with all that happened before it."""
        scene = self._scene
        canvas = pygame.Surface((SIZE * ZOOM, SIZE * ZOOM))
        canvas.fill(SKY)
        time = row * TRACE_DT
        wanted = to_world(scene.task.spline(time), scene.task.polygon.vertices)
        _polygon(canvas, wanted, GHOST, GHOST, width=2)
        _ground(canvas)
        self._past(canvas, row)
        pose, fingers = scene.trace[row, :3], scene.trace[row, 3:].reshape(FINGERS, 2)
        _polygon(canvas, to_world(pose, scene.task.polygon.vertices), OBJECT, OBJECT_EDGE, width=4)
        _mark(canvas, pose)
        self._desired(canvas, wanted)
        self._forces(canvas, row, pose, fingers)
        for finger, color in zip(fingers, FINGER_COLORS, strict=True):
            pygame.draw.circle(canvas, color, _pixel(finger), round(FINGER_DRAWN * SCALE))
            pygame.draw.circle(canvas, SKY, _pixel(finger), round(0.35 * FINGER_DRAWN * SCALE))
        self._words(canvas, row)
        small = pygame.transform.smoothscale(canvas, (SIZE, SIZE))
        return np.ascontiguousarray(pygame.surfarray.array3d(small).swapaxes(0, 1))

    def _desired(self, canvas: pygame.Surface, wanted: np.ndarray) -> None:
        """The outline that the object should have now, and the way its centroid should take, keyframes ringed."""
        task = self._scene.task
        for start, end in zip(wanted, np.roll(wanted, -1, axis=0), strict=True):
            dashes = max(1, round(np.hypot(*(end - start)) / DASH))
            for dash in range(dashes):
                ends = start + np.outer([dash / dashes, (dash + 0.55) / dashes], end - start)
                pygame.draw.line(canvas, GHOST_EDGE, _pixel(ends[0]), _pixel(ends[1]), 2 * ZOOM)
        for point in task.spline(np.linspace(0.0, task.times[-1], 31))[:, :2]:
            pygame.draw.circle(canvas, GHOST_EDGE, _pixel(point), 2 * ZOOM)
        for pose in task.poses:
            pygame.draw.circle(canvas, GHOST_EDGE, _pixel(pose[:2]), 5 * ZOOM, ZOOM + 1)

    def _past(self, canvas: pygame.Surface, row: int) -> None:
        """Outlines of the object at earlier keyframes, and the ways of centroid and fingers."""
        scene, every = self._scene, round(DT / TRACE_DT)
        for earlier in range(0, row, every):
            _outline(canvas, to_world(scene.trace[earlier, :3], scene.task.polygon.vertices), PAST, width=2)
        if row > 0:
            ways = [(scene.trace[: row + 1, :2], OBJECT_EDGE)]
            ways += [(scene.trace[: row + 1, 3 + 2 * i : 5 + 2 * i], FINGER_COLORS[i]) for i in range(FINGERS)]
            for way, color in ways:
                pygame.draw.lines(canvas, color, False, [_pixel(point) for point in way], 2 * ZOOM)

    def _forces(self, canvas: pygame.Surface, row: int, pose: np.ndarray, fingers: np.ndarray) -> None:
        """Arrows of the mean forces of the interval, at the fingers and below the object."""
        scene, every = self._scene, round(DT / TRACE_DT)
        interval = min(-(-row // every), KEYFRAMES - 1)
        lowest = to_world(pose, scene.task.polygon.vertices)
        lowest = lowest[lowest[:, 1] < lowest[:, 1].min() + 0.003].mean(axis=0)
        places = [*fingers, lowest]
        for place, force, color in zip(places, scene.forces[interval], (*FINGER_COLORS, GROUND_FORCE), strict=True):
            if np.hypot(*force) > SMALLEST_ARROW:
                _arrow(canvas, place, METERS_PER_NEWTON * force, color)

    def _words(self, canvas: pygame.Surface, row: int) -> None:
        scene, every = self._scene, round(DT / TRACE_DT)
        lines = [f"{row * TRACE_DT:.2f} s of {scene.task.times[-1]:.1f} s"]
        if scene.placed:
            poses = scene.trace[: row + 1 : every, :3]
            loss = trajectory_loss(poses, scene.task.poses[: len(poses)])
            lines.append(f"keyframe {len(poses)} of {KEYFRAMES}: loss {loss:.2f} cm²")
        for number, line in enumerate(lines):
            canvas.blit(self._font.render(line, True, TEXT), (14 * ZOOM, (12 + 24 * number) * ZOOM))
        wanted = self._font.render("desired", True, GHOST_EDGE)
        canvas.blit(wanted, (14 * ZOOM, (SIZE - 16) * ZOOM - wanted.get_height() // 2))
        base = (SIZE - 14) * ZOOM
        length = round(10 * METERS_PER_NEWTON * SCALE)
        height = (SIZE - 16) * ZOOM
        pygame.draw.line(canvas, TEXT, (base - length, height), (base, height), 2 * ZOOM)
        label = self._font.render("10 N", True, TEXT)
        canvas.blit(label, (base - length - label.get_width() - 6 * ZOOM, height - label.get_height() // 2))


def _pixel(point: np.ndarray) -> tuple[float, float]:
    """Canvas coordinates of a point of the world, kept within what pygame can draw."""
    x, y = np.clip(((point[0] - LEFT) * SCALE, SIZE * ZOOM - (point[1] - BOTTOM) * SCALE), -30_000, 30_000)
    return float(x), float(y)


def _polygon(canvas: pygame.Surface, vertices: np.ndarray, fill: tuple, edge: tuple, *, width: int) -> None:
    pygame.draw.polygon(canvas, fill, [_pixel(vertex) for vertex in vertices])
    _outline(canvas, vertices, edge, width=width)


def _outline(canvas: pygame.Surface, vertices: np.ndarray, color: tuple, *, width: int) -> None:
    corners = [_pixel(vertex) for vertex in vertices]
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        pygame.draw.line(canvas, color, start, end, width * ZOOM // 2)
        pygame.draw.circle(canvas, color, start, width * ZOOM // 4)


def _ground(canvas: pygame.Surface) -> None:
    height = _pixel(np.zeros(2))[1]
    pygame.draw.rect(canvas, GROUND, (0, height, SIZE * ZOOM, SIZE * ZOOM))
    pygame.draw.line(canvas, GROUND_EDGE, (0, height), (SIZE * ZOOM, height), 2 * ZOOM)


def _mark(canvas: pygame.Surface, pose: np.ndarray) -> None:
    """The centroid and a spoke, by which a turn can be seen."""
    spoke = to_world(pose, np.array([[0.0, 0.0], [0.035, 0.0]]))
    pygame.draw.line(canvas, OBJECT_EDGE, _pixel(spoke[0]), _pixel(spoke[1]), 2 * ZOOM)
    pygame.draw.circle(canvas, OBJECT_EDGE, _pixel(spoke[0]), 4 * ZOOM)


def _arrow(canvas: pygame.Surface, tip: np.ndarray, force: np.ndarray, color: tuple) -> None:
    """An arrow of the length of ``force`` that ends where it pushes, at ``tip``."""
    along = force / np.hypot(*force)
    across = np.array([-along[1], along[0]])
    neck = tip - ARROW_HEAD * along
    tail = tip - max(np.hypot(*force), ARROW_HEAD) * along
    pygame.draw.line(canvas, color, _pixel(tail), _pixel(neck), 3 * ZOOM)
    head = [tip, neck + 0.4 * ARROW_HEAD * across, neck - 0.4 * ARROW_HEAD * across]
    pygame.draw.polygon(canvas, color, [_pixel(point) for point in head])


class Window:
    """A window on the screen that shows pictures ten times a second."""

    def __init__(self, fps: int = round(1 / DT)) -> None:
        """Open the window; raises RuntimeError where the machine has no screen."""
        try:
            pygame.display.init()
            # Without a screen SDL falls back to a driver that shows nothing; one asked for by name is fine.
            if pygame.display.get_driver() in ("dummy", "offscreen") and not os.environ.get("SDL_VIDEODRIVER"):
                raise pygame.error("no screen")
            self._screen = pygame.display.set_mode((SIZE, SIZE))
        except pygame.error as error:
            raise RuntimeError(f"cannot open a window ({error}); use render_mode='rgb_array'") from error
        pygame.display.set_caption("Planar pushing")
        self._clock = pygame.time.Clock()
        self._fps = fps

    def show(self, picture: np.ndarray) -> None:
        """Show a picture (512, 512, 3) uint8 and wait until it is due."""
        pygame.surfarray.blit_array(self._screen, picture.swapaxes(0, 1))
        pygame.event.pump()
        pygame.display.update()
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()
