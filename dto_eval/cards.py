"""Write what an evaluation measured into the cards of the weights that it ran."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dto_agents import catalogue, zoo
from dto_eval.records import Episode, Run
from dto_eval.run_folder import FinishedRun
from dto_eval.statistics import wilson


class CardError(ValueError):
    """The run measures no weights of its own, or others than those at hand, or its card is taken; the message says."""


def note_run(finished: FinishedRun, weights: Path | None = None) -> list[Path]:
    """Note in the cards of a run's trained agent what the run measured of each member.

    A learned filter's run measures the filter; a run of the base policy alone measures the policy. A card keeps
    what one agent measured: a layer's behind policies on states is not replaced by that behind policies on pictures.

    Args:
        finished: a complete run.
        weights: root of the folder with the trained weights, None for those shipped.

    Returns:
        The weights files whose cards were written.

    Raises:
        CardError: the run's agent has no weights, those at hand are not the ones that ran, or their cards hold what
            another agent measured; nothing is written then.
    """
    protocol = finished.run.protocol
    trained = _trained_agent(finished.run)
    entries = {entry.name: entry for entry in zoo.list_members(trained, protocol.env_id, weights)}
    measured: dict[str, Mapping[str, Any]] = {}
    for member in protocol.members:
        entry = entries.get(member.name)
        if entry is None or entry.sha256 not in member.weights.values():
            raise CardError(
                f"{finished.path} did not run the weights of {trained} {member.name} that are in "
                f"{weights or zoo.SHIPPED}; give the folder it ran with --weights"
            )
        _check_free(entry, protocol.agent)
        records = [record for record in finished.episodes.values() if record.member == member.name]
        if records:
            measured[member.name] = _measurement(finished.run, records)
    for name, measurement in measured.items():
        zoo.note_measurement(entries[name], measurement)
    return [entries[name].path for name in measured]


def _check_free(entry: zoo.Entry, agent: str) -> None:
    """Refuse to replace what another agent measured."""
    held = (entry.card.get("measured") or {}).get("agent", agent)
    if held != agent:
        card = entry.path.with_suffix(".json")
        raise CardError(f'{card} holds what {held!r} measured; set its "measured" to null to note {agent!r} instead')


def _trained_agent(run: Run) -> str:
    """The folder name in the zoo of what ``run`` measures."""
    protocol = run.protocol
    if protocol.filter in catalogue.LEARNED_FILTERS:
        return str(protocol.filter)
    if protocol.filter is None and protocol.base in catalogue.TRAINED_BASES:
        return protocol.base
    raise CardError(f"{protocol.agent!r} has no trained weights of its own that a run could measure")


def _measurement(run: Run, records: list[Episode]) -> dict[str, Any]:
    successes = wilson(sum(record.success_once for record in records), len(records))
    return {
        "agent": run.protocol.agent,
        "filter_options": run.protocol.filter_options,
        "episodes": len(records),
        "first_init": run.protocol.first_init,
        "success_rate": round(successes.mean, 4),
        "success_rate_wilson_95": [round(successes.lo, 4), round(successes.hi, 4)],
        "score": round(math.fsum(record.score for record in records) / len(records), 4),
    }
