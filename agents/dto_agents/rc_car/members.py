"""The members of agents that plan with learned dynamics: one for every network of the simulated car."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dto_agents.rc_car.driving_agents import DrivingAgent, make_mpc_agent, make_plan_agent, planned_scenario
from dto_agents.zoo import DamagedWeightsError, Entry, MissingWeightsError
from dto_envs.rc_car.learned import NetworkError, list_models, read_network

CAR = "simulated"
MAKERS = {"rc-car-plan": make_plan_agent, "rc-car-mpc": make_mpc_agent}


def list_networks(name: str, env_id: str, root: Path | None = None) -> tuple[Entry, ...]:
    """The networks that the agent ``name`` can plan with on ``env_id``, by seed.

    Args:
        name: one of :data:`MAKERS`.
        env_id: an environment of the RC car.
        root: folder that ``dto-train --agent rc-car-dynamics`` wrote, ``<root>/simulated/seed<k>.safetensors``; None
            for the networks shipped.

    Raises:
        ValueError: not an environment that the agent drives.
        MissingWeightsError: there are no networks.
        DamagedWeightsError: one cannot be read or is not what its card says.
    """
    planned_scenario(name, env_id)
    try:
        paths = list_models(CAR, root)
    except NetworkError as error:
        raise MissingWeightsError(
            f"{error}; train one with: dto-train --agent rc-car-dynamics --data LOG --seed 42, or leave out --weights "
            "for those shipped"
        ) from error
    return tuple(_entry(path) for path in paths)


def make_planner(name: str, env_id: str, member: str, root: Path | None = None) -> DrivingAgent:
    """The agent ``name`` of :data:`MAKERS` on one member's network; raises as :func:`list_networks`."""
    entries = {entry.name: entry for entry in list_networks(name, env_id, root)}
    if member not in entries:
        raise MissingWeightsError(f"no member {member!r} of {name!r} for {env_id}; there are: {', '.join(entries)}")
    return MAKERS[name](env_id, entries[member].path)


def _entry(path: Path) -> Entry:
    try:
        read_network(path)
        card_path = path.with_suffix(".json")
        card = json.loads(card_path.read_text(encoding="utf-8")) if card_path.exists() else {}
    except (NetworkError, OSError, ValueError) as error:
        raise DamagedWeightsError(str(error)) from error
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    label = "/".join(path.parts[-2:])
    return Entry(path.stem, int(path.stem.removeprefix("seed")), path, f"rc-car/{label}", sha256, card)
