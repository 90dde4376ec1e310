"""Films of a run's episodes: the recorded actions are commanded again and rendered."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from dto_envs.wrappers import set_drawing
from dto_eval import pool
from dto_eval.rollout import Environments
from dto_eval.run_folder import FinishedRun, Key

FOLDER = "videos"


class VideoError(RuntimeError):
    """Films cannot be made; the message says what to do."""


def write_videos(finished: FinishedRun, count: int, *, workers: int = 1) -> list[Path]:
    """Write MP4 films of ``count`` episodes: the first init of every member, then the second, and so on.

    The environment is reset with the episode's init and given the recorded actions. A film is kept only if the
    initial state and the outcome are those of the record: it shows that very episode. It has a frame per step, or where
    steps are few and long, the frames of the environment's own slow motion, ``film()``.

    Raises:
        VideoError: no OpenGL, no ffmpeg, or an episode that came out differently.
    """
    folder = finished.path / FOLDER
    folder.mkdir(exist_ok=True)
    keys = sorted(finished.episodes, key=lambda key: key[1])[:count]
    tasks = [(key, finished.actions[key].actions, finished.episodes[key]) for key in keys]
    setup = partial(_film_maker, finished.run.protocol.env_spec, folder)
    try:
        events = list(pool.run_tasks(setup, tasks, workers))
    except (pool.TaskFailedError, pool.WorkerDiedError) as error:
        raise VideoError(f"cannot film {keys[error.task][0]}, init {keys[error.task][1]}: {error}") from error
    return sorted(event.value for event in events if event.kind == "result")


def check_rendering(env_spec: str) -> None:
    """Render one frame of an environment in a process of its own.

    Raises:
        VideoError: it cannot be rendered on this machine.
    """
    try:
        for _ in pool.run_tasks(partial(_photographer, env_spec), [None], 1):
            pass
    except (pool.TaskFailedError, pool.WorkerDiedError) as error:
        raise VideoError(
            f"cannot render for --video: {error}; MuJoCo's environments need OpenGL (MUJOCO_GL=egl or "
            "MUJOCO_GL=osmesa on a machine without a display)"
        ) from error


def _photographer(env_spec: str) -> pool.Work:
    def work(_: None) -> Iterator[tuple[int, ...]]:
        (env,) = Environments(env_spec, render_mode="rgb_array").take(1)
        env.reset(seed=0)
        yield _frame(env).shape

    return work


def _film_maker(env_spec: str, folder: Path) -> pool.Work:
    environments = Environments(env_spec, render_mode="rgb_array")

    def work(task: tuple) -> Iterator[Path]:
        import imageio.v2 as imageio

        key, actions, record = task
        (env,) = environments.take(1)
        _, info = env.reset(seed=record.init)
        if info["init_hash"] != record.init_hash:
            raise VideoError(f"the initial state differs from the record's ({info['init_hash'][:12]})")
        path = folder / film_name(key, record.success_once)
        unfinished = path.with_name(f"unfinished-{path.name}")
        fps = env.metadata.get("render_fps", 20)
        film = getattr(env.unwrapped, "film", None)
        with imageio.get_writer(unfinished, fps=fps, macro_block_size=2, codec="libx264") as writer:
            writer.append_data(_frame(env))  # type: ignore[attr-defined]
            set_drawing(env, False)
            for action in actions:
                _, _, _, _, info = env.step(action.astype(env.action_space.dtype))
                if film is None:
                    writer.append_data(_frame(env))  # type: ignore[attr-defined]
            for frame in film() if film else ():
                writer.append_data(frame)  # type: ignore[attr-defined]
        score = min(max(float(info["score"]), 0.0), 1.0)
        if bool(info["success"]) != record.success_at_end or score != record.score:
            unfinished.unlink()
            raise VideoError("the recorded actions led to another outcome than the record's")
        yield unfinished.replace(path)

    return work


def film_name(key: Key, success: bool) -> str:
    """File name of an episode's film."""
    return f"{key[0]}-init{key[1]}-{'success' if success else 'failure'}.mp4"


def _frame(env: object) -> np.ndarray:
    frame = env.render()  # type: ignore[attr-defined]
    return np.ascontiguousarray(frame)
