"""A window that shows pictures of an environment; nothing else in this package needs a screen."""

from __future__ import annotations

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame  # noqa: E402


class Window:
    """A window on the screen that shows canvases at a given rate."""

    def __init__(self, title: str, fps: float, size: tuple[int, int]) -> None:
        """Open a window of ``size`` px; raises RuntimeError where the machine has no screen."""
        try:
            pygame.display.init()
            # Without a screen SDL quietly falls back to a driver that shows nothing; one asked for by name is fine.
            if pygame.display.get_driver() in ("offscreen", "dummy") and not os.environ.get("SDL_VIDEODRIVER"):
                pygame.display.quit()
                raise pygame.error("no video device")
            self._window = pygame.display.set_mode(size)
        except pygame.error as error:
            raise RuntimeError(
                f"render_mode='human' needs a screen: {error}; use render_mode='rgb_array' instead"
            ) from error
        pygame.display.set_caption(title)
        self._clock = pygame.time.Clock()
        self._fps = fps

    def show(self, canvas: pygame.Surface) -> None:
        """Show a canvas and wait for the frame's time to pass."""
        self._window.blit(canvas, (0, 0))
        pygame.event.pump()
        pygame.display.update()
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()
