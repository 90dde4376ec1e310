"""What a submission holds: ``run.json`` and ``episodes.parquet``, the records of all episodes with their actions.

Actions are stored rounded to a grid, as differences from step to step, one column per action dimension: a tenth of the
size of what was commanded, and every metric computed from it is within the grid's width. The grid is a fiftieth of the
task's limit on differences, so that a difference exactly at the limit stays there; dimensions that are not part of the
trajectory, such as a gripper, enter no metric and are stored coarsely. What was commanded to the last bit is pinned by
each record's SHA-256, which was checked against the full actions on submission and is checked again whenever an episode
is simulated anew. The random agent's actions do not compress; they are not stored but drawn again from the recorded
seeds and must have the recorded SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from dto_agents.simple import RandomAgent
from dto_envs.actions import ActionLayout
from dto_envs.registry import EnvRow, row
from dto_envs.smoothness import VIOLATION_TOLERANCE
from dto_eval.boards.guard import MAX_EVIDENCE_BYTES, MAX_RUN_BYTES, RefusedError, parse_json, printable, read_file
from dto_eval.records import TIMINGS, Episode, Protocol, Run
from dto_eval.rollout import actions_digest
from dto_eval.shards import agent_seed

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

RUN, EPISODES = "run.json", "episodes.parquet"
FILES = frozenset({RUN, EPISODES})

GRID_STEPS_PER_BOUND = 50
COARSE_STEP = 0.125
MAX_NORMALIZED = 8.0
MAX_CHUNK = 1000
_BLOCK_ROWS = 256

Key = tuple[str, int]


@dataclass(frozen=True)
class Submission:
    """Evidence of one run.

    Attributes:
        run: protocol and provenance.
        episodes: the records by (member, init), in the order of the protocol's plan.
        grid: (steps, D_a) integers per episode, the normalised actions in units of :func:`grid_step`; None where the
            actions are drawn again from the seeds.
        n_action_steps: number of actions that were executed of every chunk, None where that is not known.
    """

    run: Run
    episodes: Mapping[Key, Episode]
    grid: Mapping[Key, np.ndarray] | None
    n_action_steps: int | None = None

    @property
    def layout(self) -> ActionLayout:
        """What an action of this run means."""
        return row(self.run.protocol.env_id).layout

    @property
    def digest(self) -> str:
        """SHA-256 of all that is submitted except timings, however the files are packed."""
        digest = hashlib.sha256(f"{self.run.model_dump_json()} {self.n_action_steps}".encode())
        for key, episode in self.episodes.items():
            # Without a cost, a record reads as it did before there were any.
            left_out = set(TIMINGS) | ({"cost"} if episode.cost is None else set())
            digest.update(episode.model_dump_json(exclude=left_out).encode())
            if self.grid is not None:
                digest.update(np.ascontiguousarray(self.grid[key], dtype="<i4").tobytes())
        return digest.hexdigest()

    def actions(self) -> list[np.ndarray]:
        """(steps, D_a) float64 actions of every episode in environment units, in the order of the records.

        Raises:
            RefusedError: actions that are drawn again do not have the recorded SHA-256.
        """
        if self.grid is not None:
            return [self.layout.denormalize(self.grid[key] * grid_step(self.layout)) for key in self.episodes]
        drawn = drawn_again(self.run.protocol, list(self.episodes.values()))
        for key, actions in zip(self.episodes, drawn, strict=True):
            if actions_digest(actions) != self.episodes[key].actions_sha256:
                raise RefusedError(f"the actions of {key[0]}, init {key[1]} are not those of a random agent's seed")
        return [actions.astype(np.float64) for actions in drawn]


def is_random(protocol: Protocol) -> bool:
    """True where the actions follow from the seeds alone."""
    return protocol.base == "random" and protocol.filter is None


def drawn_again(protocol: Protocol, episodes: Sequence[Episode]) -> list[np.ndarray]:
    """(steps, D_a) float32 actions of a random agent in each of ``episodes``, without simulating anything."""
    agent = RandomAgent(protocol.env_id)
    agent.reset([agent_seed(protocol.seed, episode.init) for episode in episodes])
    nothing_to_see = np.zeros((len(episodes), 1))
    drawn = np.stack([agent.act(nothing_to_see) for _ in range(max(episode.steps for episode in episodes))], axis=1)
    return [actions[: episode.steps] for actions, episode in zip(drawn, episodes, strict=True)]


def resolution(layout: ActionLayout) -> float:
    """Width of the grid that trajectory dimensions are stored on, normalised."""
    return layout.bound / GRID_STEPS_PER_BOUND


def resolved_violation(layout: ActionLayout) -> float:
    """The least excess over the limit that counts: a smaller one may come from the rounding."""
    return resolution(layout) + VIOLATION_TOLERANCE


def grid_step(layout: ActionLayout) -> np.ndarray:
    """(D_a,) width of the grid in each action dimension, normalised."""
    step = np.full(layout.size, COARSE_STEP)
    step[list(layout.trajectory)] = resolution(layout)
    return step


def to_grid(actions: np.ndarray, layout: ActionLayout) -> np.ndarray:
    """Actions (steps, D_a) in environment units as integers in units of :func:`grid_step`."""
    return np.rint(layout.normalize(actions.astype(np.float64)) / grid_step(layout)).astype(np.int64)


def write_submission(folder: Path, submission: Submission) -> None:
    """Write both files of a submission into the existing, empty ``folder``."""
    (folder / RUN).write_text(submission.run.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / EPISODES).write_bytes(_encode(submission))


def read_run(folder: Path) -> Run:
    """``run.json`` of a run folder or submission, parsed strictly.

    Raises:
        RefusedError: missing, too large, or not a run of this version.
    """
    value = parse_json(read_file(folder, RUN, MAX_RUN_BYTES), RUN)
    try:
        run = Run.model_validate(value)
    except ValidationError as error:
        raise RefusedError(f"{RUN}: {_problem(error)}") from error
    if run.schema_version != 1:
        raise RefusedError(f"{RUN} has schema version {run.schema_version}; this version reads 1")
    return run


def read_episodes(folder: Path, run: Run) -> Submission:
    """The submission in ``folder``, whose ``run.json`` was read and whose protocol was checked before.

    Raises:
        RefusedError: the file is missing, too large, of another form, or a value in it is out of range. Sizes are
            taken from the file's own directory and compared with the protocol before anything is decoded.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    contents = read_file(folder, EPISODES, MAX_EVIDENCE_BYTES)
    entry = row(run.protocol.env_id)
    try:
        file = pq.ParquetFile(
            io.BytesIO(contents), thrift_string_size_limit=1_000_000, thrift_container_size_limit=100_000
        )
        _check_size(file, run.protocol, entry)
        check_names(io.BytesIO(contents), EPISODES)
        columns = _Columns(entry)
        for batch in file.iter_batches(batch_size=_BLOCK_ROWS):
            columns.add(batch)
    except (pa.ArrowException, OSError, OverflowError) as error:
        raise RefusedError(f"{EPISODES} cannot be read: {printable(str(error))}") from error
    return columns.submission(run)


def _check_size(file: Any, protocol: Protocol, entry: EnvRow) -> None:
    metadata = file.metadata
    if not file.schema_arrow.remove_metadata().equals(_schema(entry)):
        raise RefusedError(f"{EPISODES} does not have the columns of a submission for {protocol.env_id}")
    if metadata.num_rows != protocol.episodes:
        raise RefusedError(f"{EPISODES} has {metadata.num_rows} episodes, the protocol {protocol.episodes}")
    check_columns(metadata, EPISODES, protocol.episodes, protocol.episodes * entry.horizon)


def check_columns(metadata: pq.FileMetaData, name: str, rows: int, values: int) -> None:
    """Refuse a Parquet file that by its own directory has more than ``rows`` records or ``values`` numbers in lists."""
    if metadata.num_row_groups > 64:
        raise RefusedError(f"{name} has {metadata.num_row_groups} row groups; at most 64 are read")
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            is_list = chunk.path_in_schema.count(".") == 2
            limit = 8 * values + 1_000_000 if is_list else 100 * rows + 10_000
            if chunk.num_values > (values if is_list else rows) or chunk.total_uncompressed_size > limit:
                raise RefusedError(f"{name}, column {printable(chunk.path_in_schema)}, holds more than it can")


def check_names(source: Any, name: str) -> None:
    """Refuse a Parquet file with a long name of a member: one long text, repeated in every row, fills the memory."""
    import pyarrow.parquet as pq

    column = pq.ParquetFile(source, read_dictionary=["member"]).read(["member"]).column("member")
    for chunk in column.chunks:
        if any(len(text) > 64 for text in chunk.dictionary.to_pylist() if text is not None):
            raise RefusedError(f"{name} has a member whose name is longer than 64 characters")


class _Columns:
    """Gathers the batches of a Parquet file into records and actions."""

    def __init__(self, entry: EnvRow) -> None:
        self._layout = entry.layout
        self._fields = list(_record_fields(entry))
        self._episodes: dict[Key, Episode] = {}
        self._grid: dict[Key, np.ndarray] = {}
        self._n_action_steps: set[int | None] = set()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch of rows."""
        records = batch.select(self._fields).to_pylist()
        self._n_action_steps.update(batch.column("n_action_steps").to_pylist())
        lists = [batch.column(_action_column(name)) for name in self._layout.names]
        largest = MAX_NORMALIZED / grid_step(self._layout)
        for index, record in enumerate(records):
            episode = _episode(record)
            key = (episode.member, episode.init)
            if key in self._episodes:
                raise RefusedError(f"{EPISODES} has {printable(key[0])}, init {key[1]} twice")
            self._episodes[key] = episode
            if (grid := _decode_row(lists, largest, index, key, episode.steps)) is not None:
                self._grid[key] = grid

    def submission(self, run: Run) -> Submission:
        """What was gathered."""
        if len(self._grid) not in (0, len(self._episodes)):
            raise RefusedError(f"{EPISODES} has the actions of some episodes only")
        if not self._grid and not is_random(run.protocol):
            raise RefusedError(f"{EPISODES} has no actions; only those of 'random' may be left out")
        n_action_steps = self._n_action_steps.pop()
        if self._n_action_steps or not (n_action_steps is None or 1 <= n_action_steps <= MAX_CHUNK):
            raise RefusedError(f"{EPISODES} has no one number of executed actions, 1 to {MAX_CHUNK}, for all chunks")
        return Submission(run, self._episodes, self._grid or None, n_action_steps)


def _record_fields(entry: EnvRow) -> dict[str, Any]:
    import pyarrow as pa

    hash_type = pa.binary(32)
    fields = {
        "member": pa.string(),
        "init": pa.int64(),
        "shard": pa.int32(),
        "init_hash": hash_type,
        "steps": pa.int32(),
        "success_once": pa.bool_(),
        "success_at_end": pa.bool_(),
        "score": pa.float64(),
        "actions_sha256": hash_type,
        "filter_unresolved": pa.float64(),
        "policy_ms": pa.float64(),
        "filter_ms": pa.float64(),
        "wall_s": pa.float64(),
    }
    return fields | ({"cost": pa.float64()} if entry.has_cost else {})


def _schema(entry: EnvRow) -> pa.Schema:
    import pyarrow as pa

    actions = {_action_column(name): pa.list_(pa.int32()) for name in entry.layout.names}
    return pa.schema(_record_fields(entry) | {"n_action_steps": pa.int32()} | actions)


def _action_column(name: str) -> str:
    return f"action_{name}"


def _encode(submission: Submission) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    entry, episodes = row(submission.run.protocol.env_id), list(submission.episodes.values())
    layout = entry.layout
    records = [_record(episode) for episode in episodes]
    columns: dict[str, list[Any]] = {name: [record[name] for record in records] for name in _record_fields(entry)}
    columns["n_action_steps"] = [submission.n_action_steps] * len(episodes)
    for index, name in enumerate(layout.names):
        columns[_action_column(name)] = (
            [None] * len(episodes)
            if submission.grid is None
            else [_fold(submission.grid[key][:, index]) for key in submission.episodes]
        )
    buffer = io.BytesIO()
    pq.write_table(
        pa.table(columns, schema=_schema(entry)),
        buffer,
        compression="zstd",
        compression_level=19,
        use_dictionary=["member", "init_hash"],  # type: ignore[arg-type]
        # Small numbers in four bytes each: the upper bytes are zero nearly always and cost next to nothing apart.
        column_encoding={f"{_action_column(name)}.list.element": "BYTE_STREAM_SPLIT" for name in layout.names},
        store_schema=False,
    )
    return buffer.getvalue()


def _fold(values: np.ndarray) -> np.ndarray:
    """Integers (T,) as differences from their predecessor, the first from 0; 0, -1, 1, -2 become 0, 1, 2, 3."""
    difference = np.diff(values, prepend=0)
    return np.where(difference >= 0, 2 * difference, -2 * difference - 1).astype(np.int32)


def _unfold(folded: np.ndarray) -> np.ndarray:
    """The inverse of :func:`_fold`, int64."""
    wide = folded.astype(np.int64)
    return np.cumsum(np.where(wide % 2 == 0, wide // 2, -(wide + 1) // 2))


def _decode_row(
    lists: Iterable[pa.ListArray], largest: np.ndarray, index: int, key: Key, steps: int
) -> np.ndarray | None:
    """(steps, D_a) of one row, at most ``largest`` (D_a,) in magnitude; None where all its lists are null."""
    values = [column[index].values for column in lists]
    if all(entry is None for entry in values):
        return None
    if any(entry is None or entry.null_count or len(entry) != steps for entry in values):
        raise RefusedError(f"the actions of {printable(key[0])}, init {key[1]} are not {steps} steps long")
    folded = np.stack([entry.to_numpy() for entry in values], axis=1)
    grid = np.stack([_unfold(column) for column in folded.T], axis=1)
    if folded.min() < 0 or (np.abs(grid) > largest).any():
        raise RefusedError(f"an action of {printable(key[0])}, init {key[1]} is out of range")
    return grid


def _record(episode: Episode) -> dict[str, Any]:
    record = episode.model_dump()
    return record | {name: bytes.fromhex(record[name]) for name in ("init_hash", "actions_sha256")}


def _episode(record: dict[str, Any]) -> Episode:
    hashes = {name: record[name].hex() if record[name] else None for name in ("init_hash", "actions_sha256")}
    try:
        return Episode.model_validate(record | hashes)
    except ValidationError as error:
        raise RefusedError(f"{EPISODES}, init {record['init']}: {_problem(error)}") from error


def _problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return printable(f"{where}: {problem['msg']}" if where else problem["msg"])


def each_submission(root: Path) -> Iterator[Path]:
    """Folders ``<Task>/<agent>/<digest>`` under ``root``, sorted; raises RefusedError for anything else in between."""
    for task in _folders(root):
        for agent in _folders(task):
            yield from _folders(agent)


def _folders(root: Path) -> list[Path]:
    if root.is_symlink():
        raise RefusedError(f"{printable(str(root))} is a link")
    if not root.exists():
        return []
    entries = sorted(root.iterdir(), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_symlink() or not entry.is_dir():
            raise RefusedError(f"{printable(str(entry))} is not a folder")
    return entries


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, indented, ending in a newline."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"
