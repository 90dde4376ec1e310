import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from submissions import admit, random_actions

from dto_eval.boards.evidence import _fold, _unfold, read_run, write_submission
from dto_eval.boards.guard import RefusedError
from dto_eval.boards.submit import admitted, read_submission
from dto_eval.rollout import actions_digest


@given(hnp.arrays(np.int64, st.integers(1, 50), elements=st.integers(-(2**15), 2**15)))
def test_folded_differences_unfold(values):
    folded = _fold(values)
    assert folded.dtype == np.int32 and folded.min() >= 0
    np.testing.assert_array_equal(_unfold(folded), values)


# ---- submissions that were changed afterwards ----


def rewrite(path, **changes):
    """Write a submission anew with fields changed, in the folder it was in."""
    submission = read_submission(path)
    write_submission(path, type(submission)(**(vars(submission) | changes)))


def test_a_changed_action_is_noticed(make, root):
    path = admit(make.run(make.protocol()), root)
    grid = {key: value.copy() for key, value in read_submission(path).grid.items()}
    next(iter(grid.values()))[3, 0] += 1
    rewrite(path, grid=grid)
    with pytest.raises(RefusedError, match="was changed after it was submitted"):
        read_submission(path)


def test_a_changed_outcome_is_noticed(make, root):
    path = admit(make.run(make.protocol()), root)
    episodes = dict(read_submission(path).episodes)
    key = ("seed42", 100_001)
    episodes[key] = episodes[key].model_copy(update={"score": 0.75})
    rewrite(path, episodes=episodes)
    with pytest.raises(RefusedError, match="was changed after it was submitted"):
        read_submission(path)


def test_a_changed_origin_is_noticed(make, root):
    path = admit(make.run(make.protocol()), root)
    run = read_run(path)
    rewrite(path, run=run.model_copy(update={"provenance": run.provenance.model_copy(update={"git_commit": "f" * 40})}))
    with pytest.raises(RefusedError, match="was changed after it was submitted"):
        read_submission(path)


def test_timings_may_differ(make, root):
    path = admit(make.run(make.protocol()), root)
    episodes = {k: e.model_copy(update={"wall_s": 9.0}) for k, e in read_submission(path).episodes.items()}
    rewrite(path, episodes=episodes)
    assert read_submission(path).episodes == episodes


def test_moved_submissions_are_noticed(make, root):
    path = admit(make.run(make.protocol()), root)
    path.rename(path.parent / "aaaaaaaaaaaa")
    with pytest.raises(RefusedError, match=r"PushT/robots.py-Mine/aaaaaaaaaaaa: its contents belong in PushT"):
        admitted(root / "submissions")


def test_foreign_files_and_links_are_refused(make, root):
    path = admit(make.run(make.protocol()), root)
    (path / "notes.html").write_text("<script>")
    with pytest.raises(RefusedError, match="holds notes.html"):
        admitted(root / "submissions")
    (path / "notes.html").unlink()
    (path.parent / "loose").write_text("x")
    with pytest.raises(RefusedError, match="loose is not a folder"):
        admitted(root / "submissions")
    (path.parent / "loose").unlink()
    (path.parent / "link").symlink_to(path, target_is_directory=True)
    with pytest.raises(RefusedError, match="link is not a folder"):
        admitted(root / "submissions")
    (root / "linked").symlink_to(root / "submissions", target_is_directory=True)
    with pytest.raises(RefusedError, match="linked is a link"):
        admitted(root / "linked")


def test_linked_evidence_is_refused(make, root, tmp_path):
    path = admit(make.run(make.protocol()), root)
    (path / "episodes.parquet").rename(tmp_path / "elsewhere")
    (path / "episodes.parquet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="is a link"):
        read_submission(path)


def write_columns(path, change, schema=None):
    columns = pq.read_table(path / "episodes.parquet").to_pydict()
    change(columns)
    kept = schema or pq.read_schema(path / "episodes.parquet")
    pq.write_table(pa.table(columns, schema=kept), path / "episodes.parquet")


def first_null(columns):
    columns["action_x"][0] = None


def all_null(columns):
    columns.update(action_x=[None] * 6, action_y=[None] * 6)


def duplicate(columns):
    for values in columns.values():
        values[1] = values[0]


def short(columns):
    columns["action_x"][0].pop()


def hole(columns):
    columns["action_x"][0][3] = None


def negative(columns):
    columns["action_x"][0][3] = -1


def far(columns):
    columns["action_x"][0][3] = 2**31 - 1


def not_a_score(columns):
    columns["score"][0] = float("nan")


def no_hash(columns):
    columns["init_hash"][0] = None


def no_chunk(columns):
    columns["n_action_steps"] = [0] * 6


def two_chunks(columns):
    columns["n_action_steps"][0] = 8


def bomb(columns):
    columns["action_x"][0] = np.zeros(2_000_000, dtype=np.int32)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (first_null, "are not 20|are not 2. steps long"),
        (all_null, "has no actions"),
        (duplicate, "twice"),
        (short, "steps long"),
        (hole, "steps long"),
        (negative, "out of range"),
        (far, "out of range"),
        (not_a_score, "score"),
        (no_hash, "init_hash"),
        (no_chunk, "no one number of executed actions"),
        (two_chunks, "no one number of executed actions"),
        (bomb, "holds more than it can"),
    ],
)
def test_evidence_that_is_refused(make, root, change, reason):
    path = admit(make.run(make.protocol()), root)
    write_columns(path, change)
    with pytest.raises(RefusedError, match=reason):
        read_submission(path)


def test_other_columns_are_refused(make, root):
    path = admit(make.run(make.protocol()), root)
    table = pq.read_table(path / "episodes.parquet")
    pq.write_table(table.append_column("html", pa.array(["<b>"] * 6)), path / "episodes.parquet")
    with pytest.raises(RefusedError, match="does not have the columns"):
        read_submission(path)


def test_rows_that_the_protocol_does_not_have_are_refused(make, root):
    path = admit(make.run(make.protocol()), root)
    write_columns(path, lambda columns: [values.pop() for values in columns.values()])
    with pytest.raises(RefusedError, match="has 5 episodes, the protocol 6"):
        read_submission(path)


@pytest.mark.parametrize("contents", [b"", b"PAR1", b"PAR1" + b"\xff" * 64 + b"PAR1", b"x" * 17_000_000])
def test_evidence_that_is_not_parquet_is_refused(make, root, contents):
    path = admit(make.run(make.protocol()), root)
    (path / "episodes.parquet").write_bytes(contents)
    with pytest.raises(RefusedError, match="episodes.parquet"):
        read_submission(path)


def test_random_evidence_with_another_hash_is_refused(make, root):
    path = admit(make.run(make.protocol("random"), actions=random_actions("dto/PushT-v0")), root)
    submission = read_submission(path)
    key = next(iter(submission.episodes))
    forged = submission.episodes[key].model_copy(update={"actions_sha256": actions_digest(np.zeros((3, 2)))})
    changed = type(submission)(submission.run, dict(submission.episodes) | {key: forged}, None)
    with pytest.raises(RefusedError, match="not those of a random agent's seed"):
        changed.actions()
