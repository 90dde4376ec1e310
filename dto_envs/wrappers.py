"""Gymnasium wrappers for Box action spaces: action chunks, action filters, and smoothness in ``info``.

They record their constructor arguments, so that ``env.spec.to_json()`` holds them and ``gymnasium.make(spec)`` and
``gymnasium.make_vec`` rebuild them. From the inside out::

    env = gymnasium.make("dto/Square-v0")
    env = Smoothness(env)                                # sees the actions that are executed
    env = ActionChunk(env, horizon=15, n_action_steps=8) # optional
    env = FilterAction(env, "projection")                # a chunk as a whole, or action by action without ActionChunk
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import RecordConstructorArgs

from dto_envs.actions import ActionLayout, PenaltyParameters, plain_layout
from dto_envs.filters import ActionFilter
from dto_envs.smoothness import Bound, DifferenceTracker

Layout = ActionLayout | Mapping[str, Any] | None


def box_layout(space: Box, *, dt: float, bound: float) -> ActionLayout:
    """A layout for a Box action space (D,) with finite limits: every dimension a trajectory, its range [-1, 1].

    Args:
        space: the action space.
        dt: seconds between two actions.
        bound: limit on the absolute first difference, normalised (2 is the whole range).

    Raises:
        ValueError: the space is not a vector of bounded numbers.
    """
    if not isinstance(space, Box) or len(space.shape) != 1 or not space.is_bounded():
        raise ValueError(f"a layout needs a bounded Box action space of one axis, not {space}")
    plain = asdict(plain_layout(space.shape[0], dt=dt, bound=bound))
    low, high = space.low.astype(float), space.high.astype(float)
    scale = (high - low) / 2
    return read_layout({**plain, "low": low.tolist(), "high": high.tolist(), "scale": scale.tolist()})


def read_layout(values: Mapping[str, Any]) -> ActionLayout:
    """The layout whose ``dataclasses.asdict`` is ``values``, also after a way through JSON, where tuples become lists.

    Raises:
        ValueError: a field is missing or unknown.
    """
    names = {field.name for field in fields(ActionLayout)}
    if unknown := set(values) - names:
        raise ValueError(f"an ActionLayout has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(names))}")
    try:
        penalty = PenaltyParameters(**values["penalty"])
        return ActionLayout(
            **{key: _tuples(value) for key, value in values.items() if key != "penalty"}, penalty=penalty
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is not an ActionLayout: {error}") from error


def set_drawing(env: gymnasium.Env, wanted: bool) -> None:
    """Say whether anybody will look at the images that the next steps of ``env`` return.

    Environments of this package with image observations have an attribute ``draw_images``: while it is False, ``step``
    returns black images, which cost nothing, and everything else as ever. Other environments are left alone.
    """
    if hasattr(env.unwrapped, "draw_images"):
        env.unwrapped.draw_images = wanted  # type: ignore[attr-defined]


class ActionChunk(gymnasium.Wrapper, RecordConstructorArgs):
    """Take chunks of T actions and execute the first n of each, one environment step after the other.

    The action space becomes a Box of shape (T, D). Rewards add up; execution stops where the episode ends. ``info`` is
    the last step's, and holds besides, for each executed step, ``step_rewards`` and ``step_infos`` (tuples).

    Example::

        env = ActionChunk(gymnasium.make("dto/PushT-v0"), horizon=15, n_action_steps=8)
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())  # (15, 2)

    A policy that looks at the last two frames gets them drawn, and none of the six before::

        env = FrameStackObservation(gymnasium.make("dto/Square-v0", obs_type="image"), 2)
        env = ActionChunk(env, horizon=15, n_action_steps=8, n_obs_steps=2)
    """

    def __init__(
        self, env: gymnasium.Env, horizon: int, n_action_steps: int | None = None, n_obs_steps: int | None = None
    ) -> None:
        """Wrap ``env``.

        Args:
            env: an environment with a Box action space (D,).
            horizon: T, the actions of a chunk.
            n_action_steps: n, how many of them are executed, from the first; None for all.
            n_obs_steps: draw the images of a chunk's last ``n_obs_steps`` steps only (see :func:`set_drawing`), as
                many as the policy looks at; None draws all. Where the episode terminates earlier in a chunk, its last
                image is black; a time limit is foreseen.

        Raises:
            ValueError: the action space is not a Box (D,), or not 1 <= n <= T, or n_obs_steps < 1.
        """
        RecordConstructorArgs.__init__(self, horizon=horizon, n_action_steps=n_action_steps, n_obs_steps=n_obs_steps)
        gymnasium.Wrapper.__init__(self, env)
        space = _vector_space(env, "ActionChunk")
        self.n_action_steps = horizon if n_action_steps is None else n_action_steps
        if not 1 <= self.n_action_steps <= horizon:
            raise ValueError(f"n_action_steps is {n_action_steps}; of {horizon} actions 1 to {horizon} can be executed")
        if n_obs_steps is not None and n_obs_steps < 1:
            raise ValueError(f"n_obs_steps is {n_obs_steps}; a policy looks at 1 or more, None draws all")
        self.n_obs_steps = n_obs_steps
        self._steps = 0
        low, high = (np.tile(limit, (horizon, 1)) for limit in (space.low, space.high))
        self.action_space = Box(low, high, dtype=space.dtype.type)  # type: ignore[union-attr]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self._steps = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Execute the first ``n_action_steps`` of a chunk (T, D)."""
        chunk = np.asarray(action)
        if chunk.shape != self.action_space.shape:
            raise ValueError(f"a chunk has shape {self.action_space.shape}, not {chunk.shape}")
        rewards, infos = [], []
        last = self._last_step()
        try:
            for single in chunk[: self.n_action_steps]:
                self._steps += 1
                if self.n_obs_steps is not None:
                    set_drawing(self.env, self._steps > last - self.n_obs_steps)
                observation, reward, terminated, truncated, info = self.env.step(single)
                rewards.append(float(reward))
                infos.append(info)
                if terminated or truncated:
                    break
        finally:
            set_drawing(self.env, True)
        info = {**infos[-1], "step_rewards": tuple(rewards), "step_infos": tuple(infos)}
        return observation, sum(rewards), terminated, truncated, info

    def _last_step(self) -> int:
        """Number, within the episode, of the step at which the present chunk ends at the latest."""
        limit = self.env.spec.max_episode_steps if self.env.spec is not None else None
        last = self._steps + self.n_action_steps
        return last if limit is None else min(last, limit)


class FilterAction(gymnasium.Wrapper, RecordConstructorArgs):
    """Pass actions through an action filter before they are executed.

    The filter works on the normalised scale, from the action that was executed last. The first of an episode is free,
    except in environments with an attribute ``from_rest`` that is True, where it is linked to a standstill.
    What it returns is rounded to the action space's type and clipped to its limits, executed and remembered. Around an
    :class:`ActionChunk` whole chunks are filtered. ``info`` gets ``executed_action``, what the filter made of the
    action: (D,), or (T, D) around chunks.

    Example::

        env = FilterAction(gymnasium.make("dto/PushT-v0"), "clipping", options={"bound": 0.02})

        pendulum = gymnasium.make("Pendulum-v1")
        layout = box_layout(pendulum.action_space, dt=0.05, bound=0.1)
        env = FilterAction(pendulum, "projection", layout=layout)
    """

    def __init__(
        self,
        env: gymnasium.Env,
        action_filter: str | ActionFilter,
        layout: Layout = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Wrap ``env``.

        Args:
            env: an environment with a Box action space (D,), or (T, D) in chunks.
            action_filter: a name that :func:`dto_envs.filters.make_filter` knows; or a filter, for which
                ``env.spec.to_json()`` does not work, because code is not written into it.
            layout: what an action means, as an ActionLayout or its ``dataclasses.asdict``; None for the environment's
                own ``action_layout``.
            options: keyword arguments of the filter that goes by a name. A pair of bounds, ``(lower, upper)``, may be
                written ``{"lower": ..., "upper": ...}``, and is recorded so.

        Raises:
            ValueError: no layout, one that does not fit the action space, or an unknown filter or option.
        """
        layout = _resolve_layout(env, layout)
        options = _plain_options(options or {})
        recorded = action_filter if isinstance(action_filter, str) else _Shared(action_filter)
        RecordConstructorArgs.__init__(self, action_filter=recorded, layout=_plain(asdict(layout)), options=options)
        gymnasium.Wrapper.__init__(self, env)
        self.layout = layout
        self.filter = _build_filter(action_filter, layout, options)
        self._space = _box_space(env, layout)
        self._previous: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, in which no action has been executed."""
        rest = self.layout.normalize(np.zeros((1, self.layout.size)))
        self._previous = rest if getattr(self.env.unwrapped, "from_rest", False) else None
        return self.env.reset(seed=seed, options=options)

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Filter ``action`` and execute the result.

        Raises:
            ValueError: from the filter, where the action has the wrong shape or is not finite; nothing was executed.
        """
        space = self._space
        requested = np.asarray(action, dtype=np.float64)
        if requested.shape != space.shape:
            raise ValueError(f"an action has shape {space.shape}, not {requested.shape}")
        chunk = self.layout.normalize(requested.reshape(1, -1, self.layout.size))
        filtered = np.asarray(self.filter(chunk, self._previous), dtype=np.float64)
        actions = self.layout.denormalize(filtered).reshape(space.shape)
        # The previous action lies in the box, so that clipping to it makes no difference larger.
        executed = np.clip(actions.astype(space.dtype), space.low, space.high)
        observation, reward, terminated, truncated, info = self.env.step(executed)
        self._previous = self.layout.normalize(self._last_executed(executed).astype(np.float64))[None]
        return observation, reward, terminated, truncated, {**info, "executed_action": executed}

    def _last_executed(self, executed: np.ndarray) -> np.ndarray:
        return executed if executed.ndim == 1 else executed[self.env.get_wrapper_attr("n_action_steps") - 1]


class Smoothness(gymnasium.Wrapper, RecordConstructorArgs):
    """Say in ``info`` how smooth the actions of the episode were so far.

    ``info["smoothness"]`` holds ``max_difference``, ``std_difference`` and ``mean_abs_difference`` of
    :class:`dto_envs.smoothness.TrajectoryMetrics`, normalised, and ``max_violation``, the largest excess over a limit;
    ``info["limit_violations"]`` counts the differences beyond their limit. It belongs inside a :class:`FilterAction`,
    where it sees what is executed; outside, it sees what was asked for.
    """

    def __init__(
        self, env: gymnasium.Env, layout: Layout = None, bound: Bound | Mapping[str, Any] | None = None
    ) -> None:
        """Wrap ``env``.

        Args:
            env: an environment with a Box action space (D,).
            layout: as in :class:`FilterAction`.
            bound: limits on the normalised differences, as in :func:`dto_envs.smoothness.trajectory_metrics` (a pair
                may be written ``{"lower": ..., "upper": ...}``); None for the layout's.

        Raises:
            ValueError: no layout, or one that does not fit the action space, or a bound that does not fit the layout.
        """
        _vector_space(env, "Smoothness")
        layout = _resolve_layout(env, layout)
        options = _plain_options({"bound": bound})
        RecordConstructorArgs.__init__(self, layout=_plain(asdict(layout)), **options)
        gymnasium.Wrapper.__init__(self, env)
        self._tracker = DifferenceTracker(layout, _restored(options["bound"]))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, in which nothing has moved yet."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._tracker.reset()
        return observation, self._with_figures(info)

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Execute ``action`` and count it."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._tracker.update(action)
        return observation, reward, terminated, truncated, self._with_figures(info)

    def _with_figures(self, info: dict[str, Any]) -> dict[str, Any]:
        figures = self._tracker.metrics()
        violations = figures.pop("violations")
        return {**info, "smoothness": figures, "limit_violations": violations}


class _Shared:
    """Carries a filter through the deep copies that Gymnasium makes of constructor arguments, without copying it."""

    def __init__(self, action_filter: ActionFilter) -> None:
        self.action_filter = action_filter

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


def _vector_space(env: gymnasium.Env, wrapper: str) -> Box:
    space = env.action_space
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise ValueError(f"{wrapper} needs an environment with a Box action space of one axis, not {space}")
    return space


def _resolve_layout(env: gymnasium.Env, layout: Layout) -> ActionLayout:
    if layout is None:
        layout = getattr(env.unwrapped, "action_layout", None)
        if layout is None:
            raise ValueError(
                f"{env.unwrapped} does not say what its actions mean: pass layout=, for instance "
                "dto_envs.wrappers.box_layout(env.action_space, dt=0.05, bound=0.1)"
            )
    resolved = layout if isinstance(layout, ActionLayout) else read_layout(layout)
    _box_space(env, resolved)
    return resolved


def _box_space(env: gymnasium.Env, layout: ActionLayout) -> Box:
    space = env.action_space
    if not isinstance(space, Box) or len(space.shape) not in (1, 2) or space.shape[-1] != layout.size:
        raise ValueError(f"the layout has {layout.size} action dimensions; the action space is {space}")
    return space


def _build_filter(action_filter: Any, layout: ActionLayout, options: Mapping[str, Any]) -> ActionFilter:
    if isinstance(action_filter, str):
        from dto_envs.filters import make_filter

        return make_filter(action_filter, layout, **{key: _restored(value) for key, value in options.items()})
    if options:
        raise ValueError("options go with the name of a filter; this filter is made already")
    return action_filter.action_filter if isinstance(action_filter, _Shared) else action_filter


def _plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON can hold them; a tuple is a pair of bounds, which JSON could not tell from a list of them."""
    plain = {}
    for key, value in options.items():
        if isinstance(value, tuple) and len(value) == 2:
            value = dict(zip(("lower", "upper"), value, strict=True))
        plain[key] = _plain(asdict(value) if isinstance(value, PenaltyParameters) else value)
    return plain


def _restored(value: Any) -> Any:
    """The inverse of :func:`_plain_options` for one option."""
    if isinstance(value, Mapping) and set(value) == {"lower", "upper"}:
        return _restored(value["lower"]), _restored(value["upper"])
    if isinstance(value, Mapping) and set(value) == {field.name for field in fields(PenaltyParameters)}:
        return PenaltyParameters(**value)
    return np.asarray(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """Numpy values and tuples, at any depth, as numbers and lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
