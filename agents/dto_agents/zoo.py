"""Where trained weights live: ``<root>/<Task>/<agent>/seed<k>.safetensors`` beside a ``.json`` card of the same name.

The package ships one such root; ``dto-train`` writes another. A weights file is complete in itself: its header says
what to build, its tensors fill it. The card tells people where the file came from and pins its SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dto_envs.registry import row

if TYPE_CHECKING:
    import torch

SHIPPED = Path(__file__).parent / "zoo"

PolicyT = TypeVar("PolicyT")

_SCALE = ".int8_scale"
_INT8_MAX, _SMALLEST_SCALE = 127, 1e-7


class MissingWeightsError(FileNotFoundError):
    """No trained weights where they were looked for; the message names the command that makes them."""


class DamagedWeightsError(ValueError):
    """A weights file or its card cannot be read, or the file is not the one that its card describes."""


@dataclass(frozen=True)
class Entry:
    """One trained member of a zoo.

    Attributes:
        name: ``seed<k>``.
        seed: training seed k.
        path: its weights file.
        label: path relative to the zoo's root, with forward slashes.
        sha256: SHA-256 of the weights file, as the card states and the file was found to have.
        card: the JSON card.
    """

    name: str
    seed: int
    path: Path
    label: str
    sha256: str
    card: Mapping[str, Any]


def task_name(env_id: str) -> str:
    """``dto/PushT-v0`` -> ``PushT``; raises :class:`dto_envs.registry.UnknownEnvError` for ids that do not exist."""
    return row(env_id).id.split("/")[-1].rsplit("-v", 1)[0]


def member_path(agent: str, env_id: str, seed: int, root: Path | None = None) -> Path:
    """Where the weights of ``agent`` trained with ``seed`` belong; the file need not exist."""
    return Path(root or SHIPPED) / task_name(env_id) / agent / f"seed{seed}.safetensors"


def list_members(agent: str, env_id: str, root: Path | None = None) -> tuple[Entry, ...]:
    """All members of ``agent`` on ``env_id``, by seed.

    Args:
        agent: ``diffusion``, ``matrix``, ``diffog`` or ``diffog-refine``.
        env_id: environment id.
        root: a zoo's root folder; None for the shipped one.

    Raises:
        MissingWeightsError: there are none.
        DamagedWeightsError: a card is missing or unreadable, or a file does not have its card's SHA-256.
    """
    folder = member_path(agent, env_id, 0, root).parent
    found = {
        int(match[1]): path
        for path in folder.glob("seed*.safetensors")
        if (match := re.fullmatch(r"seed(\d+)\.safetensors", path.name))
    }
    if not found:
        source = "" if agent.endswith("-sac") else " --data DEMONSTRATIONS"
        source += " --base WEIGHTS" if agent.endswith("-refine") else ""
        source += " --episodes 400" if agent.endswith("-large") else ""
        source += " --episodes 2000" if agent.endswith("-huge") else ""
        raise MissingWeightsError(
            f"no weights of {agent!r} for {env_id} in {folder}; train them with: "
            f"dto-train --agent {agent.removesuffix('-large').removesuffix('-huge')} --env {env_id}{source} --seed 42"
        )
    return tuple(_entry(seed, found[seed]) for seed in sorted(found))


def find_member(agent: str, env_id: str, name: str, root: Path | None = None) -> Entry:
    """The member called ``name``; raises as :func:`list_members`, and with the names there are."""
    entries = list_members(agent, env_id, root)
    for entry in entries:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in entries)
    raise MissingWeightsError(f"no member {name!r} of {agent!r} for {env_id}; there are: {known}")


def read(path: Path, kind: str, env_id: str | None = None) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read a weights file.

    Args:
        path: the file.
        kind: what it must hold, such as ``diffusion``.
        env_id: environment that it must have been trained for; None for any.

    Returns:
        The description in its header and its tensors as float32 (float16 or int8 is how weights are shipped; float64
        tensors, which hold physical ranges, keep their precision).

    Raises:
        DamagedWeightsError: not a safetensors file, one of another kind, or trained for another environment.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("description", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise DamagedWeightsError(f"cannot read weights {path}: {error}") from error
    if not isinstance(header, dict) or header.get("kind") != kind:
        raise DamagedWeightsError(f"{path} does not hold weights of {kind!r}, written by dto-train")
    if env_id is not None and header.get("env_id") != env_id:
        raise DamagedWeightsError(f"{path} was trained for {header.get('env_id')}, not for {env_id}")
    return header, _unpacked(tensors)


def load(
    entry: Entry,
    kind: str,
    env_id: str,
    build: Callable[[Mapping[str, Any], Mapping[str, torch.Tensor]], PolicyT],
) -> PolicyT:
    """Build what a member's weights file describes.

    Args:
        entry: the member.
        kind: what its file must hold.
        env_id: environment that it must have been trained for.
        build: makes the policy of a description and the tensors beside it.

    Raises:
        DamagedWeightsError: as :func:`read`, or the tensors do not fill what the description names.
    """
    description, tensors = read(entry.path, kind, env_id)
    try:
        return build(description, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DamagedWeightsError(f"{entry.path} does not fill the network it describes: {error}") from error


def part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def write(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    description: dict[str, Any],
    card: dict[str, Any],
    *,
    int8: bool = False,
) -> str:
    """Write a weights file and its card, which comes last: a file without one was interrupted.

    Args:
        path: where to.
        tensors: float32 ones are rounded to float16, others are kept.
        description: goes into the file's header.
        card: what people are told; the file's size and hash are added.
        int8: whether float32 matrices are rounded to 8-bit integers instead, times a float32 scale of each row.

    Returns:
        The file's SHA-256.
    """
    from safetensors.torch import save

    content = save(_packed(tensors, int8), metadata={"description": json.dumps(description, sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    card = {**card, "weights_sha256": sha256, "weights_bytes": len(content)}
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return sha256


def _packed(tensors: Mapping[str, torch.Tensor], int8: bool) -> dict[str, torch.Tensor]:
    """What a file holds of ``tensors``, which :func:`_unpacked` undoes but for the rounding."""
    import torch

    packed = {}
    for name, value in tensors.items():
        if value.dtype == torch.float32 and int8 and value.ndim > 1:
            scale = (value.flatten(1).abs().amax(dim=1).double() / _INT8_MAX).clamp(min=_SMALLEST_SCALE).float()
            rows = value.flatten(1).double() / scale.double()[:, None]
            packed[name] = rows.round().clamp(-_INT8_MAX, _INT8_MAX).to(torch.int8).view(value.shape)
            packed[name + _SCALE] = scale
        else:
            packed[name] = (value.half() if value.dtype == torch.float32 else value).contiguous()
    return packed


def _unpacked(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    import torch

    unpacked = {}
    for name, value in tensors.items():
        scale = tensors.get(name + _SCALE)
        if scale is not None:
            unpacked[name] = (value.flatten(1).float() * scale.float()[:, None]).view(value.shape)
        elif not name.endswith(_SCALE):
            unpacked[name] = value.float() if value.dtype == torch.float16 else value
    return unpacked


def claim(agent: str, env_id: str, seed: int, root: Path) -> Path:
    """Where a training run will write its weights; raises FileExistsError where that has been done already."""
    path = member_path(agent, env_id, seed, root)
    if path.exists():
        raise FileExistsError(f"{path} is already trained; pass another --out or --seed, or delete it")
    return path


def make_card(agent: str, env_id: str, seed: int, *, recipe: dict, data: dict, parameters: int) -> dict[str, Any]:
    """A card without the file's hash, which :func:`write` adds, and with no measured success yet."""
    packages = ("torch", "numpy", "diffusers")
    return {
        "agent": agent,
        "env_id": env_id,
        "seed": seed,
        "steps": recipe["steps"],
        "recipe": recipe,
        "data": data,
        "parameters": parameters,
        "versions": {package: importlib.metadata.version(package) for package in packages},
        "measured": None,
    }


def note_measurement(entry: Entry, measured: Mapping[str, Any]) -> None:
    """Write what an evaluation measured, such as success and episodes, into a member's card; the weights stay."""
    card = {**entry.card, "measured": dict(measured)}
    entry.path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _entry(seed: int, path: Path) -> Entry:
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        stated = card["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedWeightsError(f"cannot read the card {card_path} of {path.name}: {error!r}") from error
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != stated:
        raise DamagedWeightsError(f"{path} has SHA-256 {actual}, but its card says {stated}; fetch or train it again")
    label = "/".join(path.parts[-3:])
    return Entry(name=f"seed{seed}", seed=seed, path=path, label=label, sha256=actual, card=card)
