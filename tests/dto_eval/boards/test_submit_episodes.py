"""Records and actions that a board refuses to hold."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from submissions import admit

from dto_eval.boards.guard import RefusedError
from dto_eval.boards.submit import read_submission, submit


def edit_records(path, change):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    change(records)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def edit_actions(path, change):
    columns = pq.read_table(path).to_pydict()
    types = pq.read_schema(path)
    change(columns)
    pq.write_table(pa.table(columns, schema=types), path)


# ---- the records ----


def drop(records):
    records.pop(1)


def repeat(records):
    records.append(records[1])


def surplus(records):
    records.append(records[1] | {"init": 200_000})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop, "not complete"),
        (repeat, "7 lines for 6 episodes"),
        (surplus, "7 lines for 6 episodes"),
        (lambda r: r[1].update(score=float("nan")), "line 2 is damaged"),
        (lambda r: r[1].update(score=1.5), "line 2 is damaged"),
        (lambda r: r[1].update(steps=0), "line 2 is damaged"),
        (lambda r: r[1].update(steps=301), "301 steps; the horizon is 300"),
        (lambda r: r[1].update(steps=299), "ended after 299 steps without success"),
        (lambda r: r[0].update(steps=19), r"shape \(\d+, 2\), not \(19, 2\)"),
        (lambda r: r[0].update(score=0.5), "succeeded with a score of 0.5"),
        (lambda r: r[0].update(success_at_end=False), "went on after its success"),
        (lambda r: r[0].update(shard=1), "recorded in shard 1"),
        (lambda r: r[0].update(wall_s=float("inf")), "NaN or infinite"),
        (lambda r: r[0].update(filter_unresolved=-1), "negative"),
        (lambda r: r[0].update(init_hash="0" * 64), "another initial state than other members"),
        (lambda r: r[0].update(actions_sha256="0" * 64), "do not fit its record"),
        (lambda r: r[0].update(note="x"), "line 1 is damaged"),
    ],
)
def test_records_that_are_refused(make, root, change, reason):
    run = make.run(make.protocol())
    edit_records(run / "episodes.jsonl", change)
    with pytest.raises(RefusedError, match=reason):
        admit(run, root)


def test_a_score_that_is_not_the_success_is_refused_where_success_leads(make, root):
    run = make.run(make.protocol(env_id="dto/Square-v0"))
    edit_records(run / "episodes.jsonl", lambda records: records[1].update(score=0.25))
    with pytest.raises(RefusedError, match="which is not its success"):
        admit(run, root)


def test_an_overlong_list_of_records_is_not_read(make, root):
    run = make.run(make.protocol())
    with (run / "episodes.jsonl").open("a") as file:
        file.write("\n" * 20_000)
    with pytest.raises(RefusedError, match="at most"):
        admit(run, root)


def test_initial_states_must_be_those_of_other_submissions(make, root):
    first = admit(make.run(make.protocol()), root)
    run = make.run(make.protocol("hold"), init_hash="1" * 64)
    with pytest.raises(RefusedError, match=f"init 100000 has another initial state than in PushT/robots.*{first.name}"):
        admit(run, root)


def test_initial_states_are_simulated(make, root):
    with pytest.raises(RefusedError, match="init 100000 has another initial state here"):
        submit(make.run(make.protocol()), root / "submissions")


# ---- the actions ----


def set_action(value):
    def change(columns):
        columns["actions"][2][5] = value

    return change


def lengthen(columns):
    columns["actions"][2] += [0.0, 0.0]


@pytest.mark.parametrize("change", [set_action(100.25), set_action(float("nan")), lengthen])
def test_actions_that_do_not_have_the_recorded_hash_are_refused(make, root, change):
    run = make.run(make.protocol())
    edit_actions(run / "actions.parquet", change)
    with pytest.raises(RefusedError, match=r"(do not fit its record|not a file of recorded actions)"):
        admit(run, root)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_actions_that_are_no_actions_are_refused_even_with_the_right_hash(make, root, value):
    run = make.run(make.protocol(), actions=lambda member, init, steps: np.full((steps, 2), value))
    with pytest.raises(RefusedError, match="NaN, infinite or far out of range"):
        admit(run, root)


def test_too_many_rows_are_not_decoded(make, root):
    run = make.run(make.protocol())
    edit_actions(run / "actions.parquet", lambda columns: [values.append(values[0]) for values in columns.values()])
    with pytest.raises(RefusedError, match="has 7 episodes, the protocol 6"):
        admit(run, root)


def test_a_bomb_is_not_decoded(make, root):
    run = make.run(make.protocol())
    table = pq.read_table(run / "actions.parquet").to_pydict()
    table["actions"][0] = np.zeros(3_000_000, dtype=np.float32)
    pq.write_table(pa.table(table, schema=pq.read_schema(run / "actions.parquet")), run / "actions.parquet")
    assert (run / "actions.parquet").stat().st_size < 1_000_000
    with pytest.raises(RefusedError, match="holds more than it can"):
        admit(run, root)


@pytest.mark.parametrize("where", ["run", "submission"])
def test_a_text_that_is_repeated_in_every_row_is_not_decoded(make, root, where):
    run = make.run(make.protocol(episodes=400))
    path = run / "actions.parquet" if where == "run" else admit(run, root) / "episodes.parquet"
    columns = pq.read_table(path).to_pydict() | {"member": ["x" * 20_000] * 400}
    pq.write_table(pa.table(columns, schema=pq.read_schema(path)), path)
    with pytest.raises(RefusedError, match="longer than 64 characters"):
        admit(run, root) if where == "run" else read_submission(path.parent)


def test_a_file_that_is_not_parquet_is_refused(make, root):
    run = make.run(make.protocol())
    (run / "actions.parquet").write_bytes(b"PAR1" + b"\x80" * 100 + b"PAR1")
    with pytest.raises(RefusedError, match="actions.parquet cannot be read"):
        admit(run, root)
