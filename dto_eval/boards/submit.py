"""From a finished run to a submission in its place, and back from the place to checked evidence."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dto_agents.zoo import task_name
from dto_envs.registry import EnvRow
from dto_eval.actions_file import EpisodeActions
from dto_eval.boards.checks import (
    check_initial_states,
    check_protocol,
    check_provenance,
    check_records,
    check_resets,
    check_weights,
    init_hashes,
    provenance_flags,
)
from dto_eval.boards.evidence import (
    FILES,
    MAX_NORMALIZED,
    RUN,
    Submission,
    check_columns,
    check_names,
    drawn_again,
    each_submission,
    is_random,
    read_episodes,
    read_run,
    to_grid,
    write_submission,
)
from dto_eval.boards.guard import (
    MAX_EPISODE_LINE_BYTES,
    RefusedError,
    checked_file,
    checked_folder,
    folder_name,
    only_contains,
    printable,
)
from dto_eval.records import Run
from dto_eval.rollout import actions_digest
from dto_eval.run_folder import ACTIONS, EPISODES, FinishedRun, load_run

DIGEST_LENGTH = 12


@dataclass(frozen=True)
class Admitted:
    """A submission in its place, checked.

    Attributes:
        path: its folder, ``<root>/<Task>/<agent>/<digest>``.
        submission: what it holds.
    """

    path: Path
    submission: Submission

    @property
    def name(self) -> str:
        """``<Task>/<agent>/<digest>``."""
        return "/".join(self.path.parts[-3:])


def submit(run_folder: Path, root: Path, *, allow_dirty: bool = False, simulate: bool = True) -> tuple[Path, list[str]]:
    """Check a finished run and copy its evidence to its place under ``root``.

    Args:
        run_folder: a folder that ``dto-eval`` has completed.
        root: the folder of all submissions.
        allow_dirty: admit a run made with uncommitted changes; the board then says so.
        simulate: reset the environment with some inits and compare the initial states.

    Returns:
        The submission's folder, and remarks on what was checked.

    Raises:
        RefusedError: the run is not admitted, or was submitted before; nothing has been written.
    """
    finished, entry = read_finished(run_folder)
    protocol = finished.run.protocol
    flags = provenance_flags(finished.run.provenance)
    if flags and not allow_dirty:
        raise RefusedError(
            f"the run was made with {flags[0]}, so nobody can tell which code it ran; commit and run it again, "
            "or submit it with --allow-dirty, which the board will show"
        )
    check_weights(protocol)
    hashes = init_hashes(finished.episodes)
    others = [(other.name, init_hashes(other.submission.episodes)) for other in admitted(root, task_name(entry.id))]
    check_initial_states(hashes, others)
    remarks = [check_resets(protocol, hashes)] if simulate else []
    submission = _evidence(finished)
    if submission.grid is None:
        remarks.append("the actions follow from the seeds and are not stored")
    return _put(submission, root), remarks + [f"flagged: {flag}" for flag in flags]


def read_finished(run_folder: Path) -> tuple[FinishedRun, EnvRow]:
    """Read a run folder that may hold anything; sizes are checked before contents.

    Returns:
        The run, whose records and actions fit its protocol, and the row of its environment.

    Raises:
        RefusedError: with the reason.
    """
    checked_folder(run_folder)
    run = read_run(run_folder)
    check_provenance(run.provenance)
    entry = check_protocol(run.protocol)
    _check_run_files(run_folder, run, entry)
    try:
        finished = load_run(run_folder)
    except ValueError as error:
        raise RefusedError(printable(str(error), 300)) from error
    lines = (run_folder / EPISODES).read_bytes().count(b"\n")
    if lines != len(finished.episodes):
        raise RefusedError(f"{EPISODES} has {lines} lines for {len(finished.episodes)} episodes; some are there twice")
    check_records(run.protocol, finished.episodes, entry)
    _check_actions(finished, entry)
    return finished, entry


def admitted(root: Path, task: str | None = None) -> list[Admitted]:
    """All submissions under ``root``, or those of one task, checked alone and against each other.

    Raises:
        RefusedError: one of them is not admitted; names it.
    """
    found: list[Admitted] = []
    seen: dict[str, dict[int, str]] = {}
    for path in each_submission(root):
        if task is not None and path.parts[-3] != task:
            continue
        try:
            submission = read_submission(path)
            hashes = init_hashes(submission.episodes)
            env_id = submission.run.protocol.env_id
            check_initial_states(hashes, [("other submissions", seen.get(env_id, {}))])
        except RefusedError as error:
            raise RefusedError(f"{'/'.join(path.parts[-3:])}: {error}") from error
        seen.setdefault(env_id, {}).update(hashes)
        found.append(Admitted(path, submission))
    return found


def read_submission(path: Path) -> Submission:
    """Read and check the submission in the folder ``path``, which ends in ``<Task>/<agent>/<digest>``.

    Raises:
        RefusedError: with the reason.
    """
    checked_folder(path)
    only_contains(path, FILES)
    run = read_run(path)
    check_provenance(run.provenance)
    entry = check_protocol(run.protocol)
    submission = read_episodes(path, run)
    check_records(run.protocol, submission.episodes, entry)
    check_weights(run.protocol)
    expected = place(submission)
    if path.parts[-3:] != expected.parts:
        raise RefusedError(f"its contents belong in {expected}: something was changed after it was submitted")
    return submission


def read_evidence(path: Path) -> FinishedRun:
    """The submission in the folder ``path`` as a complete run, with actions as rounded as they were archived.

    Raises:
        RefusedError: with the reason.
    """
    submission = read_submission(path)
    actions = {
        key: EpisodeActions(actions, None, submission.n_action_steps)
        for key, actions in zip(submission.episodes, submission.actions(), strict=True)
    }
    return FinishedRun(path, submission.run, dict(submission.episodes), actions)


def place(submission: Submission) -> Path:
    """Where a submission belongs: ``<Task>/<agent>/<first digits of its digest>``."""
    protocol = submission.run.protocol
    return Path(task_name(protocol.env_id), folder_name(protocol.agent), submission.digest[:DIGEST_LENGTH])


def _check_run_files(run_folder: Path, run: Run, entry: EnvRow) -> None:
    """Sizes of what will be read whole, from the file system and from the Parquet file's own directory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    episodes = run.protocol.episodes
    values = episodes * entry.horizon * entry.layout.size
    checked_file(run_folder, EPISODES, episodes * MAX_EPISODE_LINE_BYTES)
    path = checked_file(run_folder, ACTIONS, 2 * 4 * values + 10_000_000)
    try:
        metadata = pq.read_metadata(path)
        if metadata.num_rows != episodes:
            raise RefusedError(f"{ACTIONS} has {metadata.num_rows} episodes, the protocol {episodes}")
        check_columns(metadata, ACTIONS, episodes, values)
        check_names(path, ACTIONS)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise RefusedError(f"{ACTIONS} cannot be read: {printable(str(error))}") from error


def _check_actions(finished: FinishedRun, entry: EnvRow) -> None:
    for key, episode in finished.episodes.items():
        actions = finished.actions[key].actions
        where = f"the actions of {key[0]}, init {key[1]}"
        if actions.shape != (episode.steps, entry.layout.size):
            raise RefusedError(f"{where} have shape {actions.shape}, not {(episode.steps, entry.layout.size)}")
        if not np.isfinite(actions).all() or np.abs(entry.layout.normalize(actions)).max() > MAX_NORMALIZED:
            raise RefusedError(f"{where} are NaN, infinite or far out of range")
        if actions_digest(actions) != episode.actions_sha256:
            raise RefusedError(f"{where} do not have the recorded SHA-256")


def _evidence(finished: FinishedRun) -> Submission:
    counts = {entry.n_action_steps for entry in finished.actions.values()}
    without = Submission(finished.run, finished.episodes, None, counts.pop() if len(counts) == 1 else None)
    if is_random(finished.run.protocol) and _drawn_from_seeds(finished):
        return without
    return replace(
        without, grid={key: to_grid(finished.actions[key].actions, without.layout) for key in finished.episodes}
    )


def _drawn_from_seeds(finished: FinishedRun) -> bool:
    drawn = drawn_again(finished.run.protocol, list(finished.episodes.values()))
    records = finished.episodes.values()
    return all(
        actions_digest(actions) == episode.actions_sha256 for actions, episode in zip(drawn, records, strict=True)
    )


def _put(submission: Submission, root: Path) -> Path:
    """Write a submission beside its place, read it back as anyone would, and only then give it its name."""
    target = root / place(submission)
    if target.exists():
        raise RefusedError(f"this run was submitted before: {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        copy = Path(scratch) / place(submission)
        copy.mkdir(parents=True)
        write_submission(copy, submission)
        read_submission(copy)
        shutil.copytree(copy, target)
    return target


__all__ = ["RUN", "Admitted", "admitted", "place", "read_finished", "read_submission", "submit"]
