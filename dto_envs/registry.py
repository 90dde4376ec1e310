"""One table with a row for every environment id; everything that depends on a task's constants reads it from here."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import gymnasium

from dto_envs.actions import ActionLayout
from dto_envs.layouts import (
    ALOHA_LAYOUTS,
    ARRANGE_CHOPSTICKS_LAYOUT,
    IIWA_LAYOUT,
    METAWORLD_LAYOUT,
    MOVE_STACK_LAYOUT,
    PLANAR_FORCE_LAYOUT,
    PLANAR_LAYOUT,
    PUSHT_LAYOUT,
    RC_CAR_LAYOUT,
    ROBOMIMIC_LAYOUT,
    TWO_ARM_LAYOUT,
)


class MissingExtraError(ImportError):
    """A room of this package needs libraries that are not installed; the message names the command that does."""


class UnknownEnvError(ValueError):
    """An environment id that is not registered; the message names the nearest ones."""


# What every environment can show: its state, images, or both.
OBS_TYPES = ("state", "image", "state_image")


@dataclass(frozen=True)
class StateLimit:
    """A limit on a position to which velocity commands integrate, and where the state shows it.

    Attributes:
        name: the action dimension that is its velocity.
        state: index of the position in the state observation.
        lower: the lowest that it may be, in the state's unit.
    """

    name: str
    state: int
    lower: float


@dataclass(frozen=True)
class EnvRow:
    """The constants of one environment.

    Attributes:
        id: Gymnasium id.
        entry_point: ``module:Class`` that builds it.
        kwargs: keyword arguments of the entry point.
        layout: what an action means and how it is bounded.
        horizon: steps until truncation.
        headline: the record field that a board leads with, ``success`` or ``score``.
        graded: False where an episode's score is its success, 0 or 1.
        shard_size: inits per shard in an evaluation; part of the protocol, as batches are.
        extra: the optional dependency group that it needs, or None for the core.
        render_qualities: the values of its keyword ``render_quality``, the default first; empty if it has none.
        obs_types: the values of its keyword ``obs_type``.
        portable_images: True where images are drawn by arithmetic alone, the same on every machine, so that boards
            admit agents that see them.
        least_success: the smallest score that an episode with success can have.
        object_sets: the values of its keyword ``object_set``, None, for objects drawn by the seed, left out.
        force_layout: what an action means with ``feed_forward=True``; None where the environment has no such keyword.
        position_limit: a position that policies with position limits, such as LeTO, keep within a limit; or None.
        from_rest: True where filters take the first action as a change from a standstill; elsewhere it is free.
        has_cost: True where ``info["cost"]`` is what an episode has cost, which records keep and boards show.
    """

    id: str
    entry_point: str
    layout: ActionLayout
    horizon: int
    kwargs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    headline: str = "success"
    graded: bool = True
    shard_size: int = 25
    extra: str | None = None
    render_qualities: tuple[str, ...] = ()
    obs_types: tuple[str, ...] = OBS_TYPES
    portable_images: bool = False
    least_success: float = 1.0
    object_sets: tuple[str, ...] = ()
    force_layout: ActionLayout | None = None
    has_cost: bool = False
    position_limit: StateLimit | None = None
    from_rest: bool = False


def _robomimic(task: str, *, layout: ActionLayout = ROBOMIMIC_LAYOUT, horizon: int = 400) -> EnvRow:
    return EnvRow(
        id=f"dto/{task}-v0",
        entry_point="dto_envs.robomimic:RobomimicEnv",
        kwargs=MappingProxyType({"task": task}),
        layout=layout,
        horizon=horizon,
        graded=False,
        extra="robomimic",
        render_qualities=("default", "fast"),
    )


def _metaworld(task: str) -> EnvRow:
    return EnvRow(
        id=f"dto/{task}-v0",
        entry_point="dto_envs.metaworld:MetaWorldEnv",
        kwargs=MappingProxyType({"task": task}),
        layout=METAWORLD_LAYOUT,
        horizon=500,
        graded=False,
        extra="metaworld",
        obs_types=(*OBS_TYPES, "pointcloud"),
    )


def _leto(task: str, *, layout: ActionLayout, horizon: int, position_limit: StateLimit | None = None) -> EnvRow:
    return EnvRow(
        id=f"dto/{task}-v0",
        entry_point=f"dto_envs.leto:{task}Env",
        layout=layout,
        horizon=horizon,
        graded=False,
        extra="robomimic",
        render_qualities=("default", "fast"),
        position_limit=position_limit,
        from_rest=True,
    )


def _aloha(task: str, horizon: int) -> EnvRow:
    return EnvRow(
        id=f"dto/{task}-v0",
        entry_point="dto_envs.aloha:AlohaEnv",
        kwargs=MappingProxyType({"task": task}),
        layout=ALOHA_LAYOUTS[task],
        horizon=horizon,
        extra="aloha",
        render_qualities=("default", "fast"),
    )


def _manoeuvre(scenario: str, horizon: int) -> EnvRow:
    return EnvRow(
        id=f"dto/RCCar{scenario}-v0",
        entry_point="dto_envs.rc_car:ManoeuvreEnv",
        kwargs=MappingProxyType({"scenario": scenario}),
        layout=RC_CAR_LAYOUT,
        horizon=horizon,
        shard_size=50,
    )


ENVS: Mapping[str, EnvRow] = MappingProxyType(
    {
        entry.id: entry
        for entry in (
            _robomimic("Lift"),
            _robomimic("Can"),
            _robomimic("Square"),
            _robomimic("ToolHang", horizon=700),
            _robomimic("Transport", horizon=700, layout=TWO_ARM_LAYOUT),
            *map(_metaworld, ("PickPlaceWall", "ShelfPlace", "Disassemble", "StickPush", "StickPull")),
            _leto("MoveStack", layout=MOVE_STACK_LAYOUT, horizon=300),
            _leto(
                "ArrangeChopsticks",
                layout=ARRANGE_CHOPSTICKS_LAYOUT,
                horizon=600,
                # The tool point is 0.809 m above the floor where the paper's tool frame is 0.0475 m above the table.
                position_limit=StateLimit("vz", state=23, lower=0.809),
            ),
            _aloha("AlohaTransferCube", horizon=400),
            _aloha("AlohaInsertion", horizon=400),
            _aloha("AlohaArrangeDesk", horizon=240),
            _aloha("AlohaMoveStack", horizon=150),
            EnvRow(
                id="dto/PushT-v0",
                entry_point="dto_envs.pusht:PushTEnv",
                layout=PUSHT_LAYOUT,
                horizon=300,
                headline="score",
                shard_size=50,
                portable_images=True,
            ),
            EnvRow(
                id="dto/PlanarPush-v0",
                entry_point="dto_envs.planar_push:PlanarPushEnv",
                layout=PLANAR_LAYOUT,
                horizon=5,
                headline="score",
                shard_size=50,
                portable_images=True,
                least_success=0.2,  # 1 / (1 + 4 cm^2)
                object_sets=("train", "fine-tune", "test", "family", "omnipush"),
                force_layout=PLANAR_FORCE_LAYOUT,
            ),
            EnvRow(
                id="dto/IiwaReach-v0",
                entry_point="dto_envs.iiwa:IiwaReachEnv",
                layout=IIWA_LAYOUT,
                # Twice 2 s: the longest optimal times are 1.21, 1.41 and 1.93 s of 100, 800 and 400 starts on the three
                # difficulties.
                horizon=400,
                shard_size=50,
                extra="iiwa",
                has_cost=True,
            ),
            _manoeuvre("Parking", horizon=40),
            _manoeuvre("Reverse", horizon=40),
            _manoeuvre("DriftTurn", horizon=60),
            EnvRow(
                id="dto/RCCarRace-v0",
                entry_point="dto_envs.rc_car:RaceEnv",
                layout=RC_CAR_LAYOUT,
                horizon=400,
                shard_size=50,
            ),
        )
    }
)


def row(env_id: str) -> EnvRow:
    """The row of ``env_id``; raises :class:`UnknownEnvError` with the nearest ids where there is none."""
    if env_id in ENVS:
        return ENVS[env_id]
    by_name = {known.lower(): known for known in ENVS}
    nearest = difflib.get_close_matches(env_id.lower(), by_name, n=3, cutoff=0.4)
    hint = ", ".join(by_name[name] for name in nearest) or ", ".join(ENVS)
    raise UnknownEnvError(f"there is no environment {env_id!r}; did you mean {hint}?")


def require(extra: str, *modules: str) -> None:
    """Raise :class:`MissingExtraError` unless all ``modules`` can be imported; the group ``extra`` brings them."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"{' and '.join(missing)} not installed; run: pip install 'dto-envs[{extra}]'")


def register_all() -> None:
    """Register every row with Gymnasium; called once on import, harmless when repeated."""
    for entry in ENVS.values():
        if entry.id not in gymnasium.registry:
            gymnasium.register(
                id=entry.id,
                entry_point=entry.entry_point,
                max_episode_steps=entry.horizon,
                kwargs=dict(entry.kwargs),
                # The checker runs over every id in the tests; in a rollout it would cost every step.
                disable_env_checker=True,
            )
