"""Image observations, on one core: robosuite's, ours as robosuite draws them, ours fast, and ours fast and lazy.

Lazy is a policy that executes 8 actions and looks at the last 2 frames. All contenders get the same actions and draw
robomimic's cameras at robomimic's size with the same OpenGL.

Run: python benchmarks/bench_robomimic_rendering.py [TASK ...]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import gymnasium
import numpy as np
from gymnasium.wrappers import FrameStackObservation

import dto_envs  # noqa: F401  (registers the ids)
from dto_envs.robomimic.build import TASKS, Task, make_robosuite_env, seed_robosuite_env
from dto_envs.wrappers import ActionChunk

STEPS = 8
ROUNDS = 4


def robosuite_with_cameras(task: Task) -> Any:
    """Robosuite's environment with camera observations, everything else at its defaults or as robomimic has it."""
    return make_robosuite_env(
        task, camera_names=list(task.cameras), camera_heights=task.image_size, camera_widths=task.image_size
    )


class Contest:
    """One task's contenders; each plays the same steps, in turn, so that a busy machine slows all of them."""

    def __init__(self, task_name: str) -> None:
        """Build them."""
        self.task = TASKS[task_name]
        env_id, images = f"dto/{task_name}-v0", {"obs_type": "image", "terminate_on_success": False}
        self.robosuite = robosuite_with_cameras(self.task)
        self.default = gymnasium.make(env_id, **images)
        self.fast = gymnasium.make(env_id, render_quality="fast", **images)
        self.lazy = ActionChunk(FrameStackObservation(self.fast, 2), horizon=STEPS, n_obs_steps=2)
        self.states: Any = gymnasium.make(env_id, terminate_on_success=False)
        self.spent: dict[str, np.ndarray] = {}

    def round(self, seed: int) -> None:
        """Step and draw with every contender from the initial state of a seed."""
        size = self.states.unwrapped.action_layout.size
        actions = 0.5 * np.random.default_rng(seed).uniform(-1, 1, (STEPS, size)).astype(np.float32)
        seed_robosuite_env(self.robosuite, seed)
        # robosuite draws into whichever OpenGL context is current.
        self.robosuite.sim._render_context_offscreen.gl_ctx.make_current()
        self.robosuite.reset()
        self._time("robosuite", lambda: [self.robosuite.step(action) for action in actions])
        self._time("robosuite, drawing alone", self._robosuite_pictures)
        for name, env in (("default", self.default), ("fast", self.fast)):
            env.reset(seed=seed)
            self._time(name, lambda env=env: [env.step(action) for action in actions])
            self._time(f"{name}, drawing alone", lambda env=env: self._our_pictures(env.unwrapped))
        self.lazy.reset(seed=seed)
        self._time("fast and lazy", lambda: self.lazy.step(actions))
        self.states.reset(seed=seed)
        self._time("no images", lambda: [self.states.step(action) for action in actions])

    def _robosuite_pictures(self) -> None:
        size = self.task.image_size
        for _ in range(STEPS):
            for name in self.task.cameras:
                self.robosuite.sim.render(camera_name=name, width=size, height=size)

    def _our_pictures(self, env: Any) -> None:
        for _ in range(STEPS):
            for name in self.task.cameras:
                env._image(name)

    def _time(self, name: str, function: Callable[[], object]) -> None:
        before = time.process_time(), time.perf_counter()
        function()
        spent = np.array([time.process_time() - before[0], time.perf_counter() - before[1]])
        self.spent[name] = self.spent.get(name, 0.0) + spent

    def table(self) -> str:
        """One line per contender: per CPU second and per second, and how many times robosuite's."""
        lines = []
        for name, spent in self.spent.items():
            base = self.spent["robosuite, drawing alone" if "drawing" in name else "robosuite"]
            rates, ratios = STEPS * ROUNDS / spent, base / spent
            lines.append(f"  {name:26s}{rates[0]:8.1f}{ratios[0]:7.1f}x{rates[1]:10.1f}{ratios[1]:7.1f}x")
        return "\n".join(lines)


def main() -> None:
    """Print a table per task."""
    print("control steps with all their images (drawing alone: sets of images) per CPU second and per second")
    for name in sys.argv[1:] or ["Square"]:
        contest = Contest(name)
        contest.round(seed=0)
        contest.spent.clear()
        for seed in range(1, ROUNDS + 1):
            contest.round(seed)
        size = contest.task.image_size
        print(f"{name}, {len(contest.task.cameras)} cameras, {size} x {size}\n{contest.table()}", flush=True)


if __name__ == "__main__":
    main()
