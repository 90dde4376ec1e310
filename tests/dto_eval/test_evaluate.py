import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dto_envs import registry
from dto_eval import pool
from dto_eval.evaluate import EvaluationError, evaluate, resolve_filter_options, resolve_protocol
from dto_eval.provenance import differences, provenance
from dto_eval.records import TIMINGS
from dto_eval.run_folder import RunFolderError
from dto_eval.settings import Settings, env_spec, layout_of, settings_of
from dto_eval.summary import summarize

MODULES = Path(__file__).parent / "modules"


def protocol(agent="harness_agents:Wanderer", episodes=10, shard_size=3, **options):
    """A Push-T run whose shards are small enough to have several."""
    resolved = resolve_protocol("dto/PushT-v0", agent, episodes=episodes, **options)
    return resolved.model_copy(update={"shard_size": shard_size})


def evidence(folder):
    """What must be equal between runs: the records without timings, in order, and the actions' bytes."""
    records = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    stripped = [{name: value for name, value in record.items() if name not in TIMINGS} for record in records]
    return stripped, (folder / "actions.parquet").read_bytes()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "run"
    evaluation = evaluate(protocol(), folder, workers=1)
    assert evaluation.simulated == 10
    return folder


def test_records_are_complete_and_in_order(reference):
    records, _ = evidence(reference)
    assert [record["init"] for record in records] == list(range(100_000, 100_010))
    assert [record["shard"] for record in records] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert any(record["score"] > 0 for record in records)


def test_two_workers_give_the_same_records(reference, tmp_path):
    evaluate(protocol(), tmp_path, workers=2)
    assert evidence(tmp_path) == evidence(reference)


def test_a_worker_that_dies_costs_a_retry(reference, tmp_path, monkeypatch):
    monkeypatch.setenv("DTO_TEST_MARK", str(tmp_path / "mark"))
    evaluate(protocol("harness_agents:DiesOnce"), tmp_path / "run", workers=2)
    assert (tmp_path / "mark").exists()
    assert evidence(tmp_path / "run") == evidence(reference)


def test_a_shard_that_keeps_killing_workers_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "MAX_ATTEMPTS", 1)
    with pytest.raises(EvaluationError, match="shard 0 .*inits 100000 to 100002.*died 1 times.*SIGKILL.*--workers"):
        evaluate(protocol("harness_agents:Dies", episodes=3), tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()


def test_an_agent_that_raises_ends_the_run_and_keeps_what_was_done(tmp_path):
    with pytest.raises(EvaluationError, match="KeyError: 'no such layer'"):
        evaluate(protocol("harness_agents:Raises", episodes=3), tmp_path / "run", workers=1)


def test_a_run_that_is_complete_simulates_nothing(reference):
    before = evidence(reference)
    evaluation = evaluate(protocol(), reference, workers=1)
    assert evaluation.simulated == 0 and evidence(reference) == before


def test_another_protocol_is_refused(reference):
    with pytest.raises(RunFolderError, match="episodes 10 there, 11 here"):
        evaluate(protocol(episodes=11), reference, workers=1)


SCRIPT = """
import pathlib, sys
sys.path[:0] = sys.argv[2:]
import test_protocol
from dto_eval.evaluate import evaluate
if __name__ == "__main__":
    evaluate(test_protocol.slow(), pathlib.Path(sys.argv[1]), workers=2)
"""


def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_records(reference, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    (tmp_path / "test_protocol.py").write_text(
        "from dto_eval.evaluate import resolve_protocol\n"
        "def slow():\n"
        "    resolved = resolve_protocol('dto/PushT-v0', 'harness_agents:Slow', episodes=10)\n"
        "    return resolved.model_copy(update={'shard_size': 3})\n"
    )
    folder, seed = tmp_path / "run", random.randrange(2**32)
    print("kill seed", seed)
    rng = random.Random(seed)
    command = [sys.executable, str(script), str(folder), str(tmp_path), str(MODULES)]
    process, lines = subprocess.Popen(command), rng.randrange(9)
    while process.poll() is None and count_lines(folder) < lines:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.3))
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, timeout=60)
    assert evidence(folder) == evidence(reference)


def count_lines(folder):
    log = folder / "episodes.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def test_other_code_than_the_run_began_with_is_mentioned():
    before = provenance()
    assert differences(before, before) == ""
    now = before.model_copy(update={"git_commit": "f" * 40, "versions": {**before.versions, "numpy": "0.1"}})
    assert "commit" in differences(before, now) and f"numpy {before.versions['numpy']}" in differences(before, now)


def test_a_single_episode(tmp_path):
    finished = evaluate(protocol("hold", episodes=1, shard_size=50), tmp_path, workers=2).finished
    assert list(finished.episodes) == [("only", 100000)]


def test_an_agent_may_observe_images(tmp_path):
    resolved = protocol("harness_agents:Watcher", episodes=2, obs_type="state_image")
    finished = evaluate(resolved, tmp_path, workers=1).finished
    assert [record.steps for record in finished.episodes.values()] == [300, 300]


def test_runs_on_images_are_reproducible(tmp_path):
    resolved = protocol("harness_agents:Seeker", episodes=2, shard_size=1, obs_type="image")
    for workers in (1, 2):
        evaluate(resolved, tmp_path / str(workers), workers=workers)
    assert evidence(tmp_path / "1") == evidence(tmp_path / "2")
    assert len({record["actions_sha256"] for record in evidence(tmp_path / "1")[0]}) == 2


def test_the_render_quality_is_part_of_the_protocol():
    plain = env_spec("dto/Square-v0", Settings("image"))
    assert env_spec("dto/Square-v0", Settings("image", render_quality="default")) == plain
    assert json.loads(plain)["kwargs"] == {"task": "Square", "obs_type": "image"}
    fast = resolve_protocol("dto/Square-v0", "hold", obs_type="state_image", render_quality="fast").env_spec
    assert json.loads(fast)["kwargs"]["render_quality"] == "fast"
    with pytest.raises(ValueError, match="dto/PushT-v0 has no render quality 'fast'; its images are drawn in one way"):
        env_spec("dto/PushT-v0", Settings("image", "fast"))
    with pytest.raises(ValueError, match="choose default or fast"):
        env_spec("dto/Square-v0", Settings("image", "best"))
    with pytest.raises(ValueError, match="add --obs-type image"):
        env_spec("dto/Square-v0", Settings(render_quality="fast"))


def test_objects_and_forces_are_part_of_the_protocol():
    env_id = "dto/PlanarPush-v0"
    resolved = resolve_protocol(env_id, "expert", object_set="test", feed_forward=True)
    assert json.loads(resolved.env_spec)["kwargs"] == {"object_set": "test", "feed_forward": True}
    assert settings_of(resolved) == Settings(object_set="test", feed_forward=True)
    assert layout_of(resolved).size == 8 and layout_of(resolve_protocol(env_id, "expert")).size == 4
    assert settings_of(resolve_protocol(env_id, "planar-blind")) == Settings(obs_type="image")
    with pytest.raises(ValueError, match="has no object set 'tests'; choose train, fine-tune"):
        resolve_protocol(env_id, "expert", object_set="tests")
    with pytest.raises(ValueError, match="dto/PushT-v0 has no object set 'test'; it has none"):
        resolve_protocol("dto/PushT-v0", "hold", object_set="test")
    with pytest.raises(ValueError, match="dto/PushT-v0 takes no forces"):
        resolve_protocol("dto/PushT-v0", "hold", feed_forward=True)


def test_forces_are_executed_and_recorded(tmp_path):
    resolved = resolve_protocol("dto/PlanarPush-v0", "expert", episodes=3, object_set="family", feed_forward=True)
    finished = evaluate(resolved, tmp_path / "run", workers=1).finished
    assert all(entry.actions.shape == (5, 8) for entry in finished.actions.values())
    assert all(episode.score > 0.9 for episode in finished.episodes.values())
    assert summarize(finished)["episodes"] == 3
    with pytest.raises(ValueError, match="'planar-blind' plans no forces; .* choose from expert, miqp, mdr"):
        resolve_protocol("dto/PlanarPush-v0", "planar-blind", feed_forward=True)


def test_running_out_goes_on_to_the_horizon():
    resolved = protocol("hold", run_out=True)
    assert json.loads(resolved.env_spec)["kwargs"]["terminate_on_success"] is False
    assert "terminate_on_success" not in json.loads(protocol("hold").env_spec)["kwargs"]


def test_unknown_names_are_refused():
    with pytest.raises(registry.UnknownEnvError, match="did you mean dto/PushT-v0"):
        resolve_protocol("dto/Pusht-v0", "hold")
    with pytest.raises(ValueError, match="no agent 'difog'"):
        resolve_protocol("dto/PushT-v0", "difog")
    with pytest.raises(ValueError, match="cannot load"):
        resolve_protocol("dto/PushT-v0", "harness_agents:Missing")
    with pytest.raises(ValueError, match="bound given, but the agent has no filter"):
        resolve_protocol("dto/PushT-v0", "hold", filter_options={"bound": 0.1})


def test_filter_options_are_resolved():
    layout = registry.row("dto/PushT-v0").layout
    assert resolve_filter_options(None, layout, {}) == {}
    assert resolve_filter_options("clipping", layout, {}) == {"bound": 0.05}
    assert resolve_filter_options("static-q", layout, {"bound": (0.1, 0.2)}) == {"bound": [0.1, 0.2], "alpha": 1.0}
    for wrong, message in (
        ({"bound": 0.0}, "must be positive"),
        ({"bound": float("nan")}, "must be positive"),
        ({"bound": (0.1, 0.1, 0.1)}, "2 trajectory dimensions"),
        ({"alpha": -1.0}, "must not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            resolve_filter_options("static-q", layout, wrong)


def test_a_trained_filter_keeps_what_it_was_trained_with(tmp_path):
    for agent, recipe in (("diffusion", {}), ("diffog", {"alpha": 2.5, "bound": None})):
        folder = tmp_path / "PushT" / agent
        folder.mkdir(parents=True)
        (folder / "seed42.safetensors").write_bytes(b"weights")
        card = {"weights_sha256": hashlib.sha256(b"weights").hexdigest(), "recipe": recipe}
        (folder / "seed42.json").write_text(json.dumps(card))
    resolved = resolve_protocol("dto/PushT-v0", "diffog", weights=tmp_path)
    assert resolved.filter_options == {"bound": 0.05, "alpha": 2.5}
    assert [member.name for member in resolved.members] == ["seed42"] and len(resolved.members[0].weights) == 2
    chosen = resolve_protocol("dto/PushT-v0", "diffog", weights=tmp_path, filter_options={"alpha": 0.5})
    assert chosen.filter_options["alpha"] == 0.5


def test_a_class_of_ones_own_is_pinned_by_its_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = Path("my_agent.py")
    source = (MODULES / "harness_agents.py").read_text()
    own.write_text(source)
    before = resolve_protocol("dto/PushT-v0", "my_agent.py:Wanderer").members[0].checkpoint
    own.write_text(source + "\n# better\n")
    assert resolve_protocol("dto/PushT-v0", "my_agent.py:Wanderer").members[0].checkpoint != before


def test_a_filtered_run_keeps_its_bound(tmp_path):
    resolved = protocol(None, episodes=4, base="harness_agents:Wanderer", filter="clipping")
    assert resolved.agent == "harness_agents:Wanderer+clipping" and resolved.filter_options == {"bound": 0.05}
    finished = evaluate(resolved, tmp_path, workers=1).finished
    assert all(record.filter_unresolved == 0 for record in finished.episodes.values())
    assert all(entry.proposed is not None for entry in finished.actions.values())
