"""The commanded actions of finished episodes as Parquet: one row per episode, flattened float32."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class EpisodeActions:
    """Actions of one episode in the environment's action units.

    Attributes:
        actions: (steps, D_a) float32, as commanded.
        proposed: (steps, D_a) float32, what the base policy proposed before the filter; None without a filter.
        n_action_steps: number of actions that were executed of every chunk; None where that is not known.
    """

    actions: np.ndarray
    proposed: np.ndarray | None = None
    n_action_steps: int | None = None


def write_actions(path: Path, episodes: Iterable[tuple[tuple[str, int], EpisodeActions]]) -> None:
    """Write episodes, keyed by (member, init), in the order given; the file appears whole or not at all.

    Columns: ``member`` string, ``init`` int64, ``steps`` int32, ``actions`` and ``proposed`` lists of float32 in C
    order, ``proposed`` null without a filter, ``n_action_steps`` int32. The bytes of floats are stored by significance
    (byte stream split), which zstandard compresses far better.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        (member, init, len(entry.actions), _flat(entry.actions), _flat(entry.proposed), entry.n_action_steps)
        for (member, init), entry in episodes
    ]
    fields = {
        "member": pa.string(),
        "init": pa.int64(),
        "steps": pa.int32(),
        "actions": pa.list_(pa.float32()),
        "proposed": pa.list_(pa.float32()),
        "n_action_steps": pa.int32(),
    }
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(fields)
    arrays = [pa.array(list(column), type=kind) for column, kind in zip(columns, fields.values(), strict=True)]
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(
        pa.table(arrays, names=list(fields)),
        temporary,
        compression="zstd",
        compression_level=9,
        use_dictionary=["member"],  # type: ignore[arg-type]
        column_encoding={
            "init": "DELTA_BINARY_PACKED",
            "actions.list.element": "BYTE_STREAM_SPLIT",
            "proposed.list.element": "BYTE_STREAM_SPLIT",
        },
    )
    publish(temporary, path)


def read_actions(path: Path) -> dict[tuple[str, int], EpisodeActions]:
    """Read what :func:`write_actions` wrote.

    Raises:
        ValueError: the file is not Parquet, lacks a column, or its lengths do not fit.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns: Mapping[str, Any] = pq.read_table(path).combine_chunks()
        members, inits, steps = (columns[name].to_pylist() for name in ("member", "init", "steps"))
        actions, proposed = (
            [_unflat(row, count) for row, count in zip(columns[name], steps, strict=True)]
            for name in ("actions", "proposed")
        )
        chunks = columns["n_action_steps"].to_pylist()
        keys = zip(members, inits, strict=True)
        return {key: EpisodeActions(*entry) for key, *entry in zip(keys, actions, proposed, chunks, strict=True)}
    except (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        raise ValueError(f"{path} is not a file of recorded actions: {error}") from error


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file its name, durably: readers see the old contents or the new ones, never half of either."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _flat(actions: np.ndarray | None) -> np.ndarray | None:
    return None if actions is None else np.ascontiguousarray(actions, dtype=np.float32).ravel()


def _unflat(row: Any, steps: int) -> Any:
    """One entry of a list column as (steps, D_a) float32, None for null."""
    return row.values.to_numpy(zero_copy_only=False).reshape(steps, -1) if row.is_valid else None
