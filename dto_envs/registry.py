"""One table with a row for every environment id; everything that depends on a task's constants reads it from here."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import gymnasium

from dto_envs.actions import ActionLayout, PenaltyParameters
from dto_envs.aloha_layouts import ALOHA_LAYOUTS


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


# Table IX of the DiffOG paper: bound 0.1 and alpha 4 on normalised velocities; Table XI: the penalty's parameters.
# An action of 1 asks for 0.05 m or 0.5 rad in a step of 0.05 s: 1 m/s and 10 rad/s.
ROBOMIMIC_LAYOUT = ActionLayout(
    names=("vx", "vy", "vz", "wx", "wy", "wz", "gripper"),
    trajectory=(0, 1, 2, 3, 4, 5),
    low=(-1.0,) * 7,
    high=(1.0,) * 7,
    difference="acceleration",
    dt=0.05,
    bound=0.1,
    alpha=4.0,
    penalty=PenaltyParameters(step_size=0.03, tolerance=0.004, max_iterations=10_000),
    units=("m/s",) * 3 + ("rad/s",) * 3 + ("1",),
    scale=(1.0,) * 3 + (10.0,) * 3 + (1.0,),
    groups=(("linear", (0, 1, 2)), ("rotational", (3, 4, 5))),
)

# Two arms, one after the other: each a velocity of its hand in the frame of its own base, then its gripper.
TWO_ARM_LAYOUT = replace(
    ROBOMIMIC_LAYOUT,
    names=tuple(f"robot{arm}_{name}" for arm in (0, 1) for name in ROBOMIMIC_LAYOUT.names),
    trajectory=(0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12),
    low=(-1.0,) * 14,
    high=(1.0,) * 14,
    units=ROBOMIMIC_LAYOUT.units * 2,
    scale=ROBOMIMIC_LAYOUT.scale * 2,
    groups=(("linear", (0, 1, 2, 7, 8, 9)), ("rotational", (3, 4, 5, 10, 11, 12))),
)

# Tables IX and XI again. An action of 1 moves the target of the hand by 10 mm in a step of 0.0125 s, 0.8 m/s, so that a
# first difference is an acceleration; the paper calls these actions positions, and their differences velocities. Its
# "unnormalised bounds", in mm there, are 0.6 times half the range of what Meta-World's policies ask for, which goes up
# to ten times beyond the 1 that the environment clips to; here the bound is 0.6 of what can be executed.
METAWORLD_LAYOUT = ActionLayout(
    names=("vx", "vy", "vz", "gripper"),
    trajectory=(0, 1, 2),
    low=(-1.0,) * 4,
    high=(1.0,) * 4,
    difference="acceleration",
    dt=0.0125,
    bound=0.6,
    alpha=4.0,
    penalty=PenaltyParameters(step_size=0.1, tolerance=0.05, max_iterations=1000),
    units=("m/s",) * 3 + ("1",),
    scale=(0.8,) * 3 + (1.0,),
)

# LeTO, section V: limits of 0.25 on accelerations and of 1 on velocities, normalised; Table II: alpha 1.
MOVE_STACK_LAYOUT = replace(
    ROBOMIMIC_LAYOUT,
    names=("vx", "vy", "vz"),
    trajectory=(0, 1, 2),
    low=(-1.0,) * 3,
    high=(1.0,) * 3,
    bound=0.25,
    alpha=1.0,
    units=("m/s",) * 3,
    scale=(1.0,) * 3,
    groups=(("linear", (0, 1, 2)),),
)
ARRANGE_CHOPSTICKS_LAYOUT = replace(
    MOVE_STACK_LAYOUT,
    names=("vx", "vy", "vz", "yaw", "gripper"),
    trajectory=(0, 1, 2, 3),
    low=(-1.0,) * 5,
    high=(1.0,) * 5,
    units=("m/s",) * 3 + ("rad/s", "1"),
    scale=(1.0,) * 3 + (10.0, 1.0),
    groups=(("linear", (0, 1, 2)), ("rotational", (3,))),
)

# The range of the recorded human actions is 12 to 511 and 25 to 511 px, so that the bound of 0.05 is the paper's
# [12.475, 12.15] px. Table XI gives the tolerance in px: 0.1 px is 4e-4 of half that range.
PUSHT_LAYOUT = ActionLayout(
    names=("x", "y"),
    trajectory=(0, 1),
    low=(12.0, 25.0),
    high=(511.0, 511.0),
    difference="velocity",
    dt=0.1,
    bound=0.05,
    alpha=1.0,
    penalty=PenaltyParameters(step_size=0.1, tolerance=4e-4, max_iterations=1000),
    units=("px", "px"),
    scale=(249.5, 243.0),
)


# Torques, filtered as positions are: their first difference is a torque rate, which the boards call a velocity (Nm/s).
# The bound is ours, the smallest round one that leaves optimal motions as they are: in 500 from the default starts the
# quickest change in 0.01 s is 0.0107 of the limit. It is 320 Nm/s for the two strongest joints, 40 Nm/s for the wrist.
IIWA_LAYOUT = ActionLayout(
    names=tuple(f"torque{joint}" for joint in range(1, 8)),
    trajectory=(0, 1, 2, 3, 4, 5, 6),
    low=(-320.0, -320.0, -176.0, -176.0, -110.0, -40.0, -40.0),
    high=(320.0, 320.0, 176.0, 176.0, 110.0, 40.0, 40.0),
    difference="velocity",
    dt=0.01,
    bound=0.01,
    alpha=1.0,
    penalty=PenaltyParameters(step_size=0.1, tolerance=1e-4, max_iterations=1000),
    units=("Nm",) * 7,
    scale=(320.0, 320.0, 176.0, 176.0, 110.0, 40.0, 40.0),
)

# Throttle, the acceleration of the driven wheels, and steering, the angle of the front wheels, filtered as positions
# are: the boards' velocity is their rate, (m/s²)/s and rad/s. The bound is ours: 6 rad/s is what an ordinary steering
# servo turns under load (0.17 s for 60 degrees), and full throttle within 0.1 s spares a motor's gears. The manoeuvres
# were laid out on the car with this limit.
RC_CAR_LAYOUT = ActionLayout(
    names=("throttle", "steering"),
    trajectory=(0, 1),
    low=(-1.0, -1.0),
    high=(1.0, 1.0),
    difference="velocity",
    dt=0.05,
    bound=0.5,
    alpha=1.0,
    penalty=PenaltyParameters(step_size=0.1, tolerance=0.004, max_iterations=1000),
    units=("m/s²", "rad"),
    scale=(7.0, 0.6),
    groups=(("throttle", (0,)), ("steering", (1,))),
)

# Positions of two fingers in m. The bound is ours: 0.9 m/s along each axis. Of the expert's plans for the 140 frozen
# tasks 10 go beyond it, and none fails when it is clipped; targets that zigzag by centimetres break it.
PLANAR_LAYOUT = ActionLayout(
    names=("finger0_x", "finger0_y", "finger1_x", "finger1_y"),
    trajectory=(0, 1, 2, 3),
    low=(-0.45, 0.0, -0.45, 0.0),
    high=(0.45, 0.9, 0.45, 0.9),
    difference="velocity",
    dt=0.1,
    bound=0.2,
    alpha=1.0,
    penalty=PenaltyParameters(step_size=0.1, tolerance=4e-4, max_iterations=1000),
    units=("m",) * 4,
    scale=(0.45,) * 4,
)

# Positions, and the forces in N that the fingers add: positions are the trajectory, forces pass filters untouched.
PLANAR_FORCE_LAYOUT = replace(
    PLANAR_LAYOUT,
    names=PLANAR_LAYOUT.names + ("finger0_fx", "finger0_fy", "finger1_fx", "finger1_fy"),
    low=PLANAR_LAYOUT.low + (-68.0,) * 4,
    high=PLANAR_LAYOUT.high + (68.0,) * 4,
    units=PLANAR_LAYOUT.units + ("N",) * 4,
    scale=PLANAR_LAYOUT.scale + (68.0,) * 4,
)


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
