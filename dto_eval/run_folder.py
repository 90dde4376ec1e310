"""The folder of one run: everything an evaluation leaves behind, written so that a kill at any moment costs little.

    run.json          protocol and provenance, written first
    episodes.jsonl    one record per episode, appended as it ends; sorted by member and init once the run is complete
    actions/          one Parquet file per finished shard, while the run lasts
    actions.parquet   all commanded actions, once the run is complete
    summary.json, summary.md, *.png, videos/    reports; can be made again from the above

A shard is done when its file of actions is there and every record agrees with it; any other shard is played again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dto_eval.actions_file import EpisodeActions, publish, read_actions, write_actions
from dto_eval.records import TIMINGS, Episode, Protocol, Run
from dto_eval.rollout import Rollout, actions_digest
from dto_eval.shards import Shard, plan

Key = tuple[str, int]

RUN, EPISODES, ACTIONS, PARTS, LOCK = "run.json", "episodes.jsonl", "actions.parquet", "actions", ".lock"
_OURS = frozenset({RUN, f"{RUN}.tmp", LOCK})


class RunFolderError(ValueError):
    """A folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class FinishedRun:
    """The contents of a complete run folder.

    Attributes:
        path: the folder.
        run: protocol and provenance.
        episodes: the records by (member, init), in canonical order.
        actions: the commanded actions, the same keys.
    """

    path: Path
    run: Run
    episodes: dict[Key, Episode]
    actions: dict[Key, EpisodeActions]


def load_run(path: Path) -> FinishedRun:
    """Read a complete run.

    Raises:
        RunFolderError: no run folder, damaged, or not complete.
    """
    run = _read_run(path)
    if run is None:
        raise RunFolderError(f"{path} is not the folder of a run: it has no {RUN}")
    keys = [key for shard in plan(run.protocol) for key in shard.keys]
    records = read_episodes(path / EPISODES)
    missing = len(keys) - len(records.keys() & set(keys))
    if missing or not (path / ACTIONS).exists():
        raise RunFolderError(
            f"{path} is not complete ({missing} episodes to go); run dto-eval on it again to finish it"
        )
    actions = read_actions(path / ACTIONS)
    for key in keys:
        if key not in actions or actions_digest(actions[key].actions) != records[key].actions_sha256:
            raise RunFolderError(f"{path}: the recorded actions of {key[0]}, init {key[1]} do not fit its record")
    return FinishedRun(path, run, {key: records[key] for key in keys}, {key: actions[key] for key in keys})


def read_episodes(path: Path) -> dict[Key, Episode]:
    """Records by (member, init). A last line that was cut short is left out; of two records of a key the later counts.

    Raises:
        RunFolderError: a line is damaged that is not the last.
    """
    if not path.exists():
        return {}
    records: dict[Key, Episode] = {}
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            episode = Episode.model_validate_json(line)
        except ValidationError as error:
            raise RunFolderError(f"{path}, line {number} is damaged: {_first_problem(error)}") from error
        records[episode.member, episode.init] = episode
    return records


@contextlib.contextmanager
def open_run(path: Path, run: Run) -> Iterator[RunFolder]:
    """Create or resume the folder ``path`` for ``run`` and hold it alone until the block ends.

    Raises:
        RunFolderError: the folder belongs to a run with another protocol, is in use by another process, holds other
            things, is damaged, or cannot be written. Nothing in it has been changed then.
    """
    new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in _OURS)
    except OSError as error:
        raise RunFolderError(f"cannot use {path} as a run folder: {error.strerror}") from error
    if foreign and not (path / RUN).exists():
        raise RunFolderError(f"{path} holds {foreign[0]} but no {RUN}; choose a new or empty folder")
    with _lock(path):
        stored = _read_run(path)
        if stored is None:
            _write_text(path / RUN, run.model_dump_json(indent=2) + "\n")
        elif stored.protocol != run.protocol:
            raise RunFolderError(
                f"{path} belongs to another run ({_difference(stored.protocol, run.protocol)}); choose another folder"
            )
        folder = RunFolder(path, stored or run)
        try:
            yield folder
        finally:
            folder.close()
            if stored is None and not folder.episodes:
                _clear(path, new)


class RunFolder:
    """A run folder that is being written; made by :func:`open_run`.

    Attributes:
        path: the folder.
        run: protocol and provenance, those of the first start.
        episodes: the records so far by (member, init).
        todo: the shards that have to be played.
    """

    def __init__(self, path: Path, run: Run) -> None:
        """Read what is there of ``run`` and find out which shards are to be played."""
        self.path = path
        self.run = run
        self._shards = plan(run.protocol)
        self._order = [key for shard in self._shards for key in shard.keys]
        self.episodes = read_episodes(path / EPISODES)
        if unknown := self.episodes.keys() - set(self._order):
            member, init = sorted(unknown)[0]
            raise RunFolderError(f"{path / EPISODES} has an episode ({member}, {init}) that is not part of the run")
        self._finished_actions = self._read_actions()
        self.todo = [shard for shard in self._shards if not self._is_done(shard)]
        self._pending: dict[int, dict[Key, Rollout]] = {}
        _drop_cut_line(path / EPISODES)
        self._log = (path / EPISODES).open("ab")

    def add(self, rollout: Rollout) -> None:
        """Keep a finished episode; one that was kept before a shard's retry is not written twice."""
        episode = rollout.episode
        key = (episode.member, episode.init)
        self._pending.setdefault(episode.shard, {})[key] = rollout
        before = self.episodes.get(key)
        if before is not None and before.model_dump(exclude=set(TIMINGS)) == episode.model_dump(exclude=set(TIMINGS)):
            return
        self.episodes[key] = episode
        self._log.write(episode.model_dump_json().encode() + b"\n")
        self._log.flush()

    def finish_shard(self, shard: Shard) -> None:
        """Make a shard's actions durable, after which it is never played again."""
        rollouts = self._pending.pop(shard.index)
        (self.path / PARTS).mkdir(exist_ok=True)
        os.fsync(self._log.fileno())
        entries = [(key, _recorded(rollouts[key])) for key in shard.keys]
        write_actions(self.path / PARTS / f"shard-{shard.index:05d}.parquet", entries)

    def complete(self) -> FinishedRun:
        """Merge the shards' actions, sort the records, and return the finished run."""
        actions = self._read_actions()
        ordered = {key: actions[key] for key in self._order}
        write_actions(self.path / ACTIONS, ordered.items())
        self.episodes = {key: self.episodes[key] for key in self._order}
        self._log.close()
        lines = [episode.model_dump_json() + "\n" for episode in self.episodes.values()]
        _write_text(self.path / EPISODES, "".join(lines))
        shutil.rmtree(self.path / PARTS, ignore_errors=True)
        return FinishedRun(self.path, self.run, self.episodes, ordered)

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _is_done(self, shard: Shard) -> bool:
        return all(
            key in self.episodes
            and key in self._finished_actions
            and actions_digest(self._finished_actions[key].actions) == self.episodes[key].actions_sha256
            for key in shard.keys
        )

    def _read_actions(self) -> dict[Key, EpisodeActions]:
        """All durable actions; files that cannot be read count as absent."""
        actions: dict[Key, EpisodeActions] = {}
        for file in [self.path / ACTIONS, *sorted((self.path / PARTS).glob("*.parquet"))]:
            with contextlib.suppress(ValueError):
                actions |= read_actions(file)
        return actions


def _recorded(rollout: Rollout) -> EpisodeActions:
    return EpisodeActions(rollout.actions, rollout.proposed, rollout.n_action_steps)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the folder's advisory lock, which the system releases however the process ends."""
    try:
        file = (path / LOCK).open("a+")
    except OSError as error:
        raise RunFolderError(f"cannot write to {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise RunFolderError(f"{path} is in use by another dto-eval (process {owner})") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _read_run(path: Path) -> Run | None:
    try:
        return Run.model_validate_json((path / RUN).read_bytes())
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise RunFolderError(f"{path} is not a folder") from error
    except ValidationError as error:
        raise RunFolderError(f"{path / RUN} is damaged: {_first_problem(error)}") from error


def _clear(path: Path, with_folder: bool) -> None:
    """Remove what a run that never got to an episode wrote, so that the folder is free for another."""
    for name in (RUN, EPISODES):
        (path / name).unlink(missing_ok=True)
    if with_folder:
        (path / LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.rmdir()


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    publish(temporary, path)


def _drop_cut_line(path: Path) -> None:
    """Cut off what follows the last newline, so that the next record starts on a line of its own."""
    if path.exists():
        contents = path.read_bytes()
        whole = contents.rfind(b"\n") + 1
        if whole < len(contents):
            os.truncate(path, whole)


def _difference(stored: Protocol, new: Protocol) -> str:
    """The first fields in which two protocols differ, for a message."""
    fields = [name for name in Protocol.model_fields if getattr(stored, name) != getattr(new, name)]
    short = [name for name in fields if name not in {"env_spec", "members"}]
    parts = [f"{name} {getattr(stored, name)!r} there, {getattr(new, name)!r} here" for name in short[:3]]
    return "; ".join(parts) or f"other {' and '.join(name.replace('_', ' ') for name in fields)}"


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else problem["msg"]
