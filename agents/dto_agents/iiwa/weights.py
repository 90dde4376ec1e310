"""Policies as named tensors and a short description: how a run keeps them, and how the zoo ships them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dto_agents.iiwa.qrnet import WIDTHS, Blend, ControlNetwork, Policy, TimeNetwork
from dto_agents.zoo import DamagedWeightsError


def pack(policies: Sequence[Policy]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors ``0.control.<name>``, ``0.time.<name>``, ``1.control...``, and what is needed to build the networks."""
    tensors: dict[str, Tensor] = {}
    for index, policy in enumerate(policies):
        for part, network in (("control", policy.control), ("time", policy.time)):
            tensors |= {f"{index}.{part}.{name}": value.clone() for name, value in network.state_dict().items()}
    control = policies[0].control
    blend = [control.blend.full, control.blend.none]
    shown = [None if math.isinf(value) else value for value in blend]
    widths = [layer.out_features for layer in control.network if isinstance(layer, torch.nn.Linear)][:-1]
    return tensors, {"network": control.kind, "widths": widths, "blend_s": shown, "policies": len(policies)}


def unpack(tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> list[Policy]:
    """The policies of :func:`pack`.

    Raises:
        DamagedWeightsError: tensors are missing or have other shapes than the description says.
    """
    try:
        full, none = (math.inf if value is None else value for value in description["blend_s"])
        widths, policies = description.get("widths", WIDTHS), []
        for index in range(description["policies"]):
            control = ControlNetwork(description["network"], Blend(full, none), widths)
            time = TimeNetwork(widths)
            for part, network in (("control", control), ("time", time)):
                start = f"{index}.{part}."
                own = {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
                network.load_state_dict(own)
            policies.append(Policy(control, time))
        return policies
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DamagedWeightsError(f"these are no weights of an iiwa policy: {error}") from error


def save_policy(path: Path, policy: Policy, notes: Mapping[str, Any]) -> None:
    """Write one policy in full precision, in one go, with ``notes`` in the file's header."""
    from safetensors.torch import save_file

    tensors, description = pack([policy])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata={"description": json.dumps({**description, **notes})})
    os.replace(partial, path)


def load_policy(path: Path) -> tuple[Policy, dict[str, Any]]:
    """The policy and the notes of :func:`save_policy`; raises DamagedWeightsError where the file cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads(file.metadata()["description"])
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DamagedWeightsError(f"cannot read {path}: {error}; delete it and run the same command again") from error
    return unpack(tensors, description)[0], description
