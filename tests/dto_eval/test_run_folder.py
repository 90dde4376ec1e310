import json
import os
import subprocess
import sys

import fabricated
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_eval.actions_file import EpisodeActions, read_actions, write_actions
from dto_eval.records import TIMINGS
from dto_eval.run_folder import RunFolderError, load_run, open_run, read_episodes

RUN = fabricated.make_run()


def lines(path):
    """The records as dictionaries without timings, in the order of the file."""
    records = [json.loads(line) for line in (path / "episodes.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name not in TIMINGS} for record in records]


def test_a_finished_run_reads_back(tmp_path):
    written = fabricated.fill(tmp_path / "run", RUN)
    loaded = load_run(tmp_path / "run")
    assert loaded.run == RUN and list(loaded.episodes.items()) == list(written.episodes.items())
    for key, entry in loaded.actions.items():
        np.testing.assert_array_equal(entry.actions, written.actions[key].actions)
        assert entry.actions.dtype == np.float32 and entry.proposed is None and entry.n_action_steps == 4
    assert [(line["member"], line["init"]) for line in lines(tmp_path / "run")] == list(loaded.episodes)
    assert not (tmp_path / "run" / "actions").exists()


def test_proposed_actions_are_kept_with_a_filter(tmp_path):
    run = fabricated.make_run(filter="clipping")
    fabricated.fill(tmp_path, run)
    for entry in load_run(tmp_path).actions.values():
        np.testing.assert_array_equal(entry.proposed, entry.actions + 1)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_whatever_a_kill_leaves_a_resume_completes(tmp_path_factory, data):
    """A kill leaves a prefix of the log and of the shards, or the merged files; the end is always the same."""
    whole = tmp_path_factory.mktemp("whole")
    fabricated.fill(whole, RUN)
    path = tmp_path_factory.mktemp("killed")
    shards = fabricated.shards(RUN)
    order = data.draw(st.permutations(shards))
    with open_run(path, RUN) as folder:
        finished = data.draw(st.integers(0, len(shards)))
        for shard in order[:finished]:
            for init in shard.inits:
                folder.add(fabricated.make_rollout(RUN, shard, init, wall_s=1.0))
            folder.finish_shard(shard)
        for shard in order[finished : finished + 1]:
            for init in shard.inits[: data.draw(st.integers(0, len(shard.inits)))]:
                folder.add(fabricated.make_rollout(RUN, shard, init, wall_s=1.0))
    if (path / "episodes.jsonl").exists():
        size = os.path.getsize(path / "episodes.jsonl")
        os.truncate(path / "episodes.jsonl", size - data.draw(st.integers(0, min(size, 40))))
    if (path / "actions").exists() and data.draw(st.booleans()):
        (path / "actions" / "shard-00002.parquet.tmp").write_bytes(b"half")
    if finished == len(shards) and data.draw(st.booleans()):
        merged = (whole / "actions.parquet").read_bytes()
        (path / "actions.parquet").write_bytes(merged[: data.draw(st.sampled_from([len(merged), 100]))])
    fabricated.fill(path, RUN, wall_s=2.0)
    assert lines(path) == lines(whole)
    assert (path / "actions.parquet").read_bytes() == (whole / "actions.parquet").read_bytes()


def test_a_finished_shard_is_not_played_again(tmp_path):
    first, *others = fabricated.shards(RUN)
    with open_run(tmp_path, RUN) as folder:
        for init in first.inits:
            folder.add(fabricated.make_rollout(RUN, first, init))
        folder.finish_shard(first)
    with open_run(tmp_path, RUN) as folder:
        assert folder.todo == others


def test_a_shard_whose_file_is_damaged_is_played_again(tmp_path):
    first = fabricated.shards(RUN)[0]
    with open_run(tmp_path, RUN) as folder:
        for init in first.inits:
            folder.add(fabricated.make_rollout(RUN, first, init))
        folder.finish_shard(first)
    (tmp_path / "actions" / "shard-00000.parquet").write_bytes(b"PAR1 but no more")
    with open_run(tmp_path, RUN) as folder:
        assert first in folder.todo


def test_records_come_as_episodes_end_and_a_retry_repeats_none(tmp_path):
    shard = fabricated.shards(RUN)[0]
    with open_run(tmp_path, RUN) as folder:
        for count, init in enumerate(shard.inits, start=1):
            folder.add(fabricated.make_rollout(RUN, shard, init, wall_s=1.0))
            assert len(lines(tmp_path)) == count
        for init in shard.inits:
            folder.add(fabricated.make_rollout(RUN, shard, init, wall_s=9.0))
        assert len(lines(tmp_path)) == len(shard.inits)


def test_a_retry_that_comes_out_differently_counts(tmp_path):
    with open_run(tmp_path, RUN) as folder:
        shard = folder.todo[0]
        folder.add(fabricated.make_rollout(RUN, shard, shard.inits[0]))
        for init in shard.inits:
            folder.add(fabricated.make_rollout(RUN, shard, init, shift=0.1))
        folder.finish_shard(shard)
    with open_run(tmp_path, RUN) as folder:
        assert shard not in folder.todo


def test_a_second_process_gets_an_error(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); import fabricated, pathlib\n"
        "from dto_eval.run_folder import open_run\n"
        "with open_run(pathlib.Path(sys.argv[1]), fabricated.make_run()): print('open', flush=True); sys.stdin.read()\n"
    )
    modules = os.path.dirname(fabricated.__file__)
    command = [sys.executable, "-c", code, str(tmp_path / "run"), modules]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "open\n"
    with pytest.raises(RunFolderError, match=f"in use by another dto-eval \\(process {other.pid}\\)"):
        with open_run(tmp_path / "run", RUN):
            pass
    assert (tmp_path / "run" / "run.json").exists()
    other.kill()
    other.communicate()
    fabricated.fill(tmp_path / "run", RUN)


def test_a_folder_of_another_run_is_left_alone(tmp_path):
    fabricated.fill(tmp_path, RUN)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != ".lock"}
    with pytest.raises(RunFolderError, match="belongs to another run \\(seed 0 there, 7 here\\)"):
        with open_run(tmp_path, fabricated.make_run(seed=7)):
            pass
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != ".lock"}


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(RunFolderError, match="thesis.tex but no run.json"):
        with open_run(tmp_path, RUN):
            pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot use"):
        with open_run(tmp_path / "file", RUN):
            pass


def test_a_run_without_episodes_leaves_the_folder_free(tmp_path):
    with pytest.raises(KeyError):
        with open_run(tmp_path / "run", RUN):
            raise KeyError
    assert not (tmp_path / "run").exists()
    with open_run(tmp_path / "run", fabricated.make_run(seed=7)):
        pass


def test_a_damaged_line_is_an_error_and_a_cut_one_is_not(tmp_path):
    fabricated.fill(tmp_path, RUN)
    path = tmp_path / "episodes.jsonl"
    contents = path.read_bytes()
    path.write_bytes(contents[:-5])
    assert len(read_episodes(path)) == 9
    path.write_bytes(b"{}\n" + contents)
    with pytest.raises(RunFolderError, match="line 1 is damaged"):
        read_episodes(path)


def test_an_incomplete_run_cannot_be_loaded(tmp_path):
    with open_run(tmp_path, RUN) as folder:
        shard = folder.todo[0]
        folder.add(fabricated.make_rollout(RUN, shard, shard.inits[0]))
    with pytest.raises(RunFolderError, match="not complete \\(9 episodes to go\\)"):
        load_run(tmp_path)
    with pytest.raises(RunFolderError, match="has no run.json"):
        load_run(tmp_path / "nowhere")


def test_actions_that_do_not_fit_their_record_are_refused(tmp_path):
    finished = fabricated.fill(tmp_path, RUN)
    changed = {key: EpisodeActions(entry.actions + 1) for key, entry in finished.actions.items()}
    write_actions(tmp_path / "actions.parquet", changed.items())
    with pytest.raises(RunFolderError, match="do not fit its record"):
        load_run(tmp_path)


def test_a_foreign_parquet_file_is_an_error(tmp_path):
    (tmp_path / "actions.parquet").write_text("no")
    with pytest.raises(ValueError, match="not a file of recorded actions"):
        read_actions(tmp_path / "actions.parquet")
