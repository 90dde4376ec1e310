"""Agents by name: which base and which filter a name stands for, which trained members it has, how one is built."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from dto_agents import zoo
from dto_agents.base import Agent, FilteredAgent
from dto_agents.simple import HoldAgent, RandomAgent
from dto_envs.actions import ActionLayout
from dto_envs.filters.phased import PhasedFilter
from dto_envs.registry import row

# The DLM paper's architectures, trained on its tasks and on more.
PLANAR = tuple(f"{kind}{size}" for size in ("", "-large", "-huge") for kind in ("nn", "nnm", "mdr", "cvx", "dlm"))
# QRnet from the default starts and from those of side 2, the plain network, and a model-free one.
IIWA = ("iiwa-qrnet", "iiwa-qrnet-wide", "iiwa-mlp", "iiwa-sac")
# Trained base policies, and what loads each: called with those of ``agent``, ``entry``, ``env_id`` and ``feed_forward``
# that it takes.
LOADERS: Mapping[str, str] = MappingProxyType(
    {
        "diffusion": "dto_agents.diffusion.policy:load_policy",
        "diffusion-image": "dto_agents.diffusion_image.policy:load_policy",
        "dp3": "dto_agents.dp3.policy:load_policy",
        "leto": "dto_agents.recurrent.policy:load_policy",
        "lstm-gmm": "dto_agents.recurrent.policy:load_policy",
        "leto-image": "dto_agents.recurrent.policy:load_policy",
        "lstm-gmm-image": "dto_agents.recurrent.policy:load_policy",
        "ibc": "dto_agents.ibc.policy:load_policy",
        "rc-car-sac": "dto_agents.rc_car.sac:load_agent",
        **dict.fromkeys(IIWA, "dto_agents.iiwa.agents:load_agent"),
        "iiwa-sac": "dto_agents.iiwa.sac:load_agent",
        **dict.fromkeys(PLANAR, "dto_agents.planar.network_agents:load_agent"),
    }
)
TRAINED_BASES = tuple(LOADERS)
# Agents of one task that are not trained; called with ``env_id``, they refuse the others.
TASK_AGENTS: Mapping[str, str] = MappingProxyType(
    {
        "iiwa-lqr": "dto_agents.iiwa.lqr:LqrAgent",
        "iiwa-optimal": "dto_agents.iiwa.agents:OptimalAgent",
        "iiwa-replay": "dto_agents.iiwa.agents:ReplayAgent",
        "miqp": "dto_agents.planar.agents:MiqpAgent",
        "planar-blind": "dto_agents.planar.network_agents:BlindAgent",
        "planar-other": "dto_agents.planar.network_agents:OtherPlanAgent",
    }
)
# Those that can say with what forces fingers push.
PUSHING = ("expert", "miqp", *(name for name in PLANAR if not name.startswith("nn")))
# Those that look at images, alone or with the state of the robot beside them; all others read the state.
WATCHING = (*PLANAR, "planar-blind", "planar-other")
WATCHING_HANDS = ("diffusion-image", "leto-image", "lstm-gmm-image")
# Agents that plan with learned dynamics, whose members are the networks; they refuse what is not an RC car.
PLANNERS = ("rc-car-plan", "rc-car-mpc")
# Environments whose experts are not scripted hands.
EXPERTS: Mapping[str, str] = MappingProxyType(
    {
        "dto/PlanarPush-v0": "dto_agents.planar.agents:PlanningAgent",
        **{
            f"dto/RCCar{task}-v0": "dto_agents.rc_car.driving_agents:make_expert"
            for task in ("Parking", "Reverse", "DriftTurn", "Race")
        },
        **{
            f"dto/Aloha{task}-v0": "dto_agents.aloha.expert:AlohaExpert"
            for task in ("TransferCube", "Insertion", "ArrangeDesk", "MoveStack")
        },
    }
)
# Environments in which standing still takes more than a constant.
HOLD: Mapping[str, str] = MappingProxyType({"dto/IiwaReach-v0": "dto_agents.iiwa.holding:GravityAgent"})
BASES = (*TRAINED_BASES, "expert", "random", "hold", *TASK_AGENTS, *PLANNERS)
PLAIN_FILTERS = ("clipping", "penalty", "projection", "tracking", "static-q")
LEARNED_FILTERS = ("matrix", "matrix-refine", "diffog", "diffog-refine", "residual")
NAMES = (
    *("expert", "random", "hold", "base"),
    *TRAINED_BASES[1:],
    *TASK_AGENTS,
    *PLANNERS,
    *PLAIN_FILTERS,
    *LEARNED_FILTERS,
)

ONLY = "only"  # the member of agents that have no weights


@dataclass(frozen=True)
class Composition:
    """What an agent is made of.

    Attributes:
        base: one of :data:`BASES`, or ``module:Class``.
        filter: one of :data:`PLAIN_FILTERS` or :data:`LEARNED_FILTERS`, ``module:Class``, or None.
    """

    base: str
    filter: str | None = None


@dataclass(frozen=True)
class MemberInfo:
    """One trained policy that an agent can be built from.

    Attributes:
        name: ``seed<k>``, or ``only`` for agents without weights.
        training_seed: seed of the training run, None without weights.
        checkpoint: name of the checkpoint, None without weights.
        weights: file -> SHA-256 of every weights file the member reads, files relative to their zoo's root.
    """

    name: str
    training_seed: int | None = None
    checkpoint: str | None = None
    weights: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def compose(name: str | None = None, *, base: str | None = None, filter: str | None = None) -> Composition:
    """Resolve an agent's name.

    Args:
        name: one of :data:`NAMES`, or ``module:Class``. Where ``base`` or ``filter`` is given it is only a label.
        base: name of the base policy; ``diffusion`` where only a filter is given.
        filter: name of the action filter.

    Raises:
        ValueError: a name that is not known; lists those that are.
    """
    if base is not None or filter is not None:
        composition = Composition("diffusion" if base in (None, "base") else base, filter)
    elif name is None:
        raise ValueError("name an agent, or a base and a filter")
    elif name in (*PLAIN_FILTERS, *LEARNED_FILTERS):
        composition = Composition("diffusion", name)
    else:
        composition = Composition("diffusion" if name == "base" else name)
    known_filters = (*PLAIN_FILTERS, *LEARNED_FILTERS)
    if composition.base not in BASES and ":" not in composition.base:
        what, known = ("base", BASES) if base is not None else ("agent", NAMES)
        raise ValueError(f"there is no {what} {composition.base!r}; choose from {', '.join(known)}, or module:Class")
    if composition.filter is not None and composition.filter not in known_filters and ":" not in composition.filter:
        raise ValueError(
            f"there is no filter {composition.filter!r}; choose from {', '.join(known_filters)}, or module:Class"
        )
    return composition


def observes(base: str) -> str:
    """What a base policy looks at where nothing else is asked for, one of the values of ``obs_type``."""
    if base == "dp3":
        return "pointcloud"
    return "image" if base in WATCHING else "state_image" if base in WATCHING_HANDS else "state"


def check_forces(base: str) -> None:
    """Raise ValueError where a base policy cannot say with what forces fingers push; one's own classes may."""
    if base not in PUSHING and ":" not in base:
        raise ValueError(f"{base!r} plans no forces; leave out --feed-forward, or choose from {', '.join(PUSHING)}")


def members(
    name: str | None,
    env_id: str,
    *,
    base: str | None = None,
    filter: str | None = None,
    weights: Path | None = None,
) -> tuple[MemberInfo, ...]:
    """The members of an agent, by training seed; a single one called ``only`` where nothing is trained.

    Where base and filter are both trained, a member is a seed that both have.

    Args:
        name: see :func:`compose`.
        env_id: environment id.
        base: see :func:`compose`.
        filter: see :func:`compose`.
        weights: root of a zoo of one's own, ``<Task>/<agent>/seed<k>.safetensors``; None for the shipped one.

    Raises:
        dto_agents.zoo.MissingWeightsError: something is not trained; names the command that trains it.
        dto_agents.zoo.DamagedWeightsError: a file differs from its card.
    """
    composition = compose(name, base=base, filter=filter)
    row(env_id)
    trained = [composition.base] if composition.base in (*TRAINED_BASES, *PLANNERS) else []
    trained += [composition.filter] if composition.filter in LEARNED_FILTERS else []
    if not trained:
        return (MemberInfo(ONLY),)
    zoos = [{entry.seed: entry for entry in _list_entries(part, env_id, weights)} for part in trained]
    seeds = sorted(set.intersection(*(set(entries) for entries in zoos)))
    if not seeds:
        raise zoo.MissingWeightsError(f"no training seed has weights of both {' and '.join(trained)} for {env_id}")
    return tuple(
        MemberInfo(
            name=f"seed{seed}",
            training_seed=seed,
            checkpoint=f"step{zoos[-1][seed].card.get('steps', '')}",
            weights=MappingProxyType({entries[seed].label: entries[seed].sha256 for entries in zoos}),
        )
        for seed in seeds
    )


def make_agent(
    name: str | None,
    env_id: str,
    member: str = ONLY,
    *,
    base: str | None = None,
    filter: str | None = None,
    weights: Path | None = None,
    options: Mapping[str, Any] | None = None,
    feed_forward: bool = False,
) -> Agent:
    """Build an agent.

    Args:
        name: see :func:`compose`.
        env_id: environment id.
        member: name of one of :func:`members`; ignored by parts without weights.
        base: see :func:`compose`.
        filter: see :func:`compose`.
        weights: see :func:`members`.
        options: keyword arguments of the filter, such as ``bound`` and ``alpha``.
        feed_forward: whether actions carry forces after positions.

    Returns:
        The base itself where there is no filter, else a :class:`dto_agents.base.FilteredAgent`.

    Raises:
        ValueError: unknown names, options without a filter, or options that the filter does not know.
    """
    composition = compose(name, base=base, filter=filter)
    layout = row(env_id).force_layout if feed_forward else row(env_id).layout
    if layout is None:
        raise ValueError(f"{env_id} takes no forces")
    if feed_forward:
        check_forces(composition.base)
    if options and composition.filter is None:
        raise ValueError(f"filter options {', '.join(options)} were given, but the agent has no filter")
    agent = _make_base(composition.base, env_id, member, weights, feed_forward)
    if composition.filter is None:
        return agent
    action_filter = make_action_filter(
        composition.filter, env_id, member, weights=weights, options=options, layout=layout
    )
    return FilteredAgent(agent, action_filter, layout, from_rest=row(env_id).from_rest)


def make_action_filter(
    name: str,
    env_id: str,
    member: str = ONLY,
    *,
    weights: Path | None = None,
    options: Mapping[str, Any] | None = None,
    layout: ActionLayout | None = None,
) -> Any:
    """Build an action filter by name; arguments as in :func:`make_agent`.

    The layout is that of ``env_id`` where none is given.

    Raises:
        ValueError: options that the filter does not know, or a learned filter for another layout than it has learned.
    """
    options = dict(options or {})
    layout = layout or row(env_id).layout
    if phases := options.pop("phases", None):
        return _phased(
            phases, partial(make_action_filter, name, env_id, member, weights=weights, layout=layout), options
        )
    try:
        if name in LEARNED_FILTERS:
            if layout != row(env_id).layout:
                raise ValueError(f"filter {name!r} has not learned actions that carry forces; leave out --feed-forward")
            from dto_agents.diffog.policy import load_filter

            return load_filter(zoo.find_member(name, env_id, member, weights), env_id, **options)
        if name in PLAIN_FILTERS:
            from dto_envs.filters import make_filter

            return make_filter(name, layout, **options)
        return load_class(name)(layout, **options)
    except TypeError as error:
        raise ValueError(f"filter {name!r} does not take these options ({options}): {error}") from error


def _phased(phases: Sequence[Sequence[Any]], make: Callable[..., Any], options: dict[str, Any]) -> PhasedFilter:
    """A filter whose bound changes with the episode's steps."""
    options.pop("bound", None)
    return PhasedFilter(
        lambda bounds: make(options={**options, "bound": bounds}), [(bound, end) for bound, end in phases]
    )


def load_class(location: str) -> Callable[..., Any]:
    """Import ``package.module:Class``, or ``path/to/file.py:Class``; the working directory is searched too.

    Raises:
        ValueError: no such module or class, or the module fails to import.
    """
    module_name, _, attribute = location.rpartition(":")
    try:
        with _working_directory_on_path():
            module = _load_file(module_name) if module_name.endswith(".py") else importlib.import_module(module_name)
        found = getattr(module, attribute)
    except (ImportError, OSError, AttributeError, SyntaxError) as error:
        raise ValueError(f"cannot load {location!r}: {error}; write module:Class or path/to/file.py:Class") from error
    if not callable(found):
        raise ValueError(f"{location!r} is not a class")
    return found


def _list_entries(part: str, env_id: str, weights: Path | None) -> tuple[zoo.Entry, ...]:
    if part in PLANNERS:
        from dto_agents.rc_car.members import list_networks

        return list_networks(part, env_id, weights)
    return zoo.list_members(part, env_id, weights)


def _make_base(name: str, env_id: str, member: str, weights: Path | None, feed_forward: bool = False) -> Agent:
    if name == "random":
        return RandomAgent(env_id)
    if name == "hold":
        return _make_own(HOLD[env_id], env_id) if env_id in HOLD else HoldAgent(env_id)
    if name == "expert" and env_id in EXPERTS:
        return _make_own(EXPERTS[env_id], env_id, feed_forward)
    if name == "expert":
        from dto_agents.experts import make_expert

        return make_expert(env_id)
    if name in PLANNERS:
        from dto_agents.rc_car.members import make_planner

        return make_planner(name, env_id, member, weights)
    if name in LOADERS:
        load = load_class(LOADERS[name])
        entry = zoo.find_member(name, env_id, member, weights)
        offered = {"agent": name, "entry": entry, "env_id": env_id, "feed_forward": feed_forward}
        return load(**{key: offered[key] for key in inspect.signature(load).parameters if key in offered})
    return _make_own(TASK_AGENTS.get(name, name), env_id, feed_forward)


def _make_own(location: str, env_id: str, feed_forward: bool = False) -> Agent:
    build = load_class(location)
    try:
        taken = inspect.signature(build).parameters
        given: dict[str, Any] = {"env_id": env_id} if "env_id" in taken else {}
        if feed_forward and "feed_forward" not in taken:
            raise ValueError(f"{location!r} plans no forces: its constructor takes no feed_forward")
        given |= {"feed_forward": True} if feed_forward else {}
        agent = build(**given)
    except TypeError as error:
        raise ValueError(
            f"cannot build {location!r}: {error}; its constructor is called with env_id=... if it takes that, "
            "and with feed_forward=True in runs with forces"
        ) from error
    missing = [method for method in ("reset", "act") if not callable(getattr(agent, method, None))]
    if missing:
        raise ValueError(f"{location!r} is no agent: it lacks {' and '.join(missing)}; see dto_agents.base.Agent")
    return agent


@contextlib.contextmanager
def _working_directory_on_path() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def _load_file(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
