import hashlib
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from submissions import admit, edit_json, random_actions

from dto_eval.boards.checks import check_protocol
from dto_eval.boards.evidence import grid_step
from dto_eval.boards.guard import RefusedError
from dto_eval.boards.submit import admitted, read_submission, submit
from dto_eval.commands.board import main
from dto_eval.evaluate import resolve_protocol
from dto_eval.records import Member
from dto_eval.run_folder import load_run
from dto_eval.settings import Settings, env_spec

# ---- what goes in comes out ----


@pytest.mark.parametrize("env_id", ["dto/PushT-v0", "dto/Square-v0"])
def test_evidence_holds_the_run(make, root, env_id):
    run = make.run(make.protocol(env_id=env_id), n_action_steps=8)
    path = admit(run, root)
    assert path.relative_to(root / "submissions").parts[:2] == (env_id[4:-3], "robots.py-Mine")
    submission, finished = read_submission(path), load_run(run)
    assert submission.n_action_steps == 8
    assert submission.run == finished.run and dict(submission.episodes) == finished.episodes
    for key, actions in zip(submission.episodes, submission.actions(), strict=True):
        exact = submission.layout.normalize(finished.actions[key].actions.astype(np.float64))
        excess = np.abs(submission.layout.normalize(actions) - exact) - grid_step(submission.layout) / 2
        assert excess.max() <= 1e-12


def test_what_is_proposed_before_a_filter_is_left_out(make, root):
    path = admit(make.run(make.protocol()), root)
    assert sorted(entry.name for entry in path.iterdir()) == ["episodes.parquet", "run.json"]
    assert "proposed" not in pq.read_schema(path / "episodes.parquet").names


@pytest.mark.parametrize("env_id", ["dto/PushT-v0", "dto/Square-v0"])
def test_random_actions_are_drawn_again_instead_of_stored(make, root, env_id):
    run = make.run(make.protocol("random", env_id), actions=random_actions(env_id))
    submission = read_submission(admit(run, root))
    assert submission.grid is None
    for actions, exact in zip(submission.actions(), load_run(run).actions.values(), strict=True):
        np.testing.assert_array_equal(actions.astype(np.float32), exact.actions)


def test_a_random_agent_that_is_not_the_catalogue_s_is_stored(make, root):
    run = make.run(make.protocol("random"))
    assert read_submission(admit(run, root)).grid is not None


def test_submitting_twice_is_refused(make, root):
    run = make.run(make.protocol())
    admit(run, root)
    with pytest.raises(RefusedError, match="submitted before"):
        admit(run, root)


def test_two_runs_of_one_agent_stand_side_by_side(make, root):
    paths = {admit(make.run(make.protocol(), step=step), root) for step in (0.01, 0.02)}
    assert {entry.path for entry in admitted(root / "submissions")} == paths


# ---- the description of the run ----


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"agent": "<img src=x>"}, "may hold only letters"),
        ({"agent": "a|b"}, "may hold only letters"),
        ({"agent": "a\nb"}, "may hold only letters"),
        ({"agent": "..:x/../.."}, "may hold only letters"),
        ({"agent": "x" * 200}, "may hold only letters"),
        ({"agent": "clipping"}, "clipping stands for diffusion with filter clipping"),
        ({"base": "nobody"}, "no base 'nobody'"),
        ({"env_id": "dto/Nowhere-v0"}, "no environment dto/Nowhere-v0"),
        ({"first_init": 7}, "first_init is 7; on the boards it is 100000"),
        ({"seed": 3}, "seed is 3"),
        ({"run_out": True}, "run_out is True"),
        ({"shard_size": 1}, "shard_size is 1"),
        ({"episodes": 10**9}, "at most 20000"),
        ({"members": []}, "1 to 64 members"),
        ({"members": [{"name": "a"}, {"name": "a"}]}, "different names"),
        ({"members": [{"name": "../up"}]}, "members.0.name"),
        ({"filter_options": {"bound": float("nan")}}, "NaN or infinite"),
        ({"env_spec": "no json"}, "env_spec cannot be read"),
        ({"unknown": 1}, "unknown: Extra inputs"),
        ({"episodes": "many"}, "episodes: Input should be a valid integer"),
    ],
)
def test_protocols_that_are_refused(make, root, change, reason):
    run = make.run(make.protocol())
    edit_json(run / "run.json", lambda value: value["protocol"].update(change))
    with pytest.raises(RefusedError, match=reason):
        admit(run, root)
    assert not root.exists()


PLANAR = "dto/PlanarPush-v0"


@pytest.mark.parametrize(
    "settings, reason",
    [
        (
            Settings(obs_type="image", object_set="test"),
            "the objects were those of test; on the boards seeds draw them",
        ),
        (Settings(feed_forward=True), "the actions carried forces"),
    ],
)
def test_rows_of_a_board_share_objects_and_actions(settings, reason):
    with pytest.raises(RefusedError, match=reason):
        check_protocol(planar_protocol(settings))


@pytest.mark.parametrize("obs_type", ["smell", "pointcloud"])
def test_a_board_is_of_what_its_environment_shows(obs_type):
    protocol = planar_protocol(Settings())
    spec = json.loads(protocol.env_spec)
    spec["kwargs"]["obs_type"] = obs_type
    with pytest.raises(RefusedError, match=f"obs_type is {obs_type}; it is one of state, image, state_image"):
        check_protocol(protocol.model_copy(update={"env_spec": json.dumps(spec)}))


def test_clouds_are_admitted_and_images_of_the_same_task_are_not():
    protocol = resolve_protocol("dto/StickPush-v0", "random", episodes=10, obs_type="pointcloud")
    assert check_protocol(protocol).id == "dto/StickPush-v0"
    with pytest.raises(RefusedError, match="the agent observed images"):
        check_protocol(resolve_protocol("dto/StickPush-v0", "random", episodes=10, obs_type="image"))


def test_pictures_that_are_arithmetic_are_admitted():
    for obs_type in ("state", "image", "state_image"):
        assert check_protocol(planar_protocol(Settings(obs_type=obs_type))).id == PLANAR
        assert check_protocol(resolve_protocol("dto/PushT-v0", "hold", episodes=10, obs_type=obs_type))


def planar_protocol(settings):
    protocol = resolve_protocol(PLANAR, "hold", episodes=10)
    return protocol.model_copy(update={"env_spec": env_spec(PLANAR, settings)})


def test_runs_on_images_are_refused_with_the_reason(make, root):
    protocol = make.protocol(env_id="dto/StickPush-v0")
    images = {"env_spec": env_spec(protocol.env_id, Settings("state_image"))}
    run = make.run(protocol.model_copy(update=images))
    with pytest.raises(RefusedError, match="observed images, which differ from one OpenGL to the next"):
        admit(run, root)


@pytest.mark.parametrize(
    "change",
    [
        {"entry_point": "os:system"},
        {"kwargs": {"terminate_on_success": False}},
        {"additional_wrappers": [{"name": "x", "entry_point": "os:system", "kwargs": {}}]},
        {"max_episode_steps": 5},
    ],
)
def test_only_the_registered_environment_is_admitted(make, root, change):
    protocol = make.protocol()
    spec = json.loads(protocol.env_spec) | change
    run = make.run(protocol.model_copy(update={"env_spec": json.dumps(spec)}))
    with pytest.raises(RefusedError, match=f"env_spec is not that of dto/PushT-v0 as registered \\({list(change)[0]}"):
        admit(run, root)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "valid dictionary"),
        ('{"protocol": 1, "protocol": 2}', "same key twice"),
        ('{"a": NaN}', "NaN or infinite"),
        ('{"a": "\\ud800"}', "no Unicode"),
        ('{"\\udfff": 1}', "no Unicode"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ('{"a": ' * 20 + "1" + "}" * 20, "nested too deeply"),
        ("[" * 5000, "not JSON"),
        (" " * 300_000, "at most 262144"),
    ],
)
def test_run_files_that_are_refused(make, root, text, reason):
    run = make.run(make.protocol())
    (run / "run.json").write_text(text)
    with pytest.raises(RefusedError, match=reason):
        admit(run, root)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"created": "<script>"}, "created is <script>, which is no time"),
        ({"git_commit": "](http://x)"}, "which is no commit"),
        ({"git_dirty": "perhaps"}, "provenance.git_dirty"),
    ],
)
def test_origins_that_are_refused(make, root, change, reason):
    run = make.run(make.protocol())
    edit_json(run / "run.json", lambda value: value["provenance"].update(change))
    with pytest.raises(RefusedError, match=reason):
        admit(run, root)


@pytest.mark.parametrize("name", ["run.json", "episodes.jsonl", "actions.parquet"])
def test_links_and_missing_files_are_refused(make, root, name):
    run = make.run(make.protocol())
    elsewhere = run.parent / "elsewhere"
    (run / name).rename(elsewhere)
    with pytest.raises(RefusedError, match=f"{name} is missing"):
        admit(run, root)
    (run / name).symlink_to(elsewhere)
    with pytest.raises(RefusedError, match=f"{name} is a link"):
        admit(run, root)


def test_a_linked_run_folder_is_refused(make, root, tmp_path):
    (tmp_path / "link").symlink_to(make.run(make.protocol()), target_is_directory=True)
    with pytest.raises(RefusedError, match="not a folder"):
        admit(tmp_path / "link", root)


def test_uncommitted_changes_have_to_be_admitted(make, root):
    make.provenance = make.provenance.model_copy(update={"git_dirty": True})
    run = make.run(make.protocol())
    with pytest.raises(RefusedError, match="uncommitted changes.*--allow-dirty"):
        admit(run, root)
    path, remarks = submit(run, root / "submissions", simulate=False, allow_dirty=True)
    assert path.exists() and remarks == ["flagged: uncommitted changes"]


def test_filter_options_that_a_name_does_not_stand_for_are_refused(make, root, weights):
    protocol = make.protocol("clipping")
    run = make.run(protocol.model_copy(update={"filter_options": {"bound": 10.0}}))
    with pytest.raises(RefusedError, match="other options than its own.*--agent NAME"):
        admit(run, root)
    named = protocol.model_copy(update={"filter_options": {"bound": 10.0}, "agent": "wide-clipping"})
    assert admit(make.run(named), root).exists()


# ---- weights ----


def test_weights_of_the_zoo_are_admitted(make, root, weights):
    assert admit(make.run(make.protocol("base")), root).exists()


def test_other_weights_are_refused(make, root, weights):
    protocol = make.protocol("base")
    first, second = protocol.members
    other = first.model_copy(update={"weights": dict.fromkeys(first.weights, "0" * 64)})
    run = make.run(protocol.model_copy(update={"members": (other, second)}))
    with pytest.raises(RefusedError, match="weights of seed42 are not those of the zoo"):
        admit(run, root)


def test_members_that_the_zoo_lacks_are_refused(make, root, weights):
    protocol = make.protocol("base").model_copy(update={"members": (Member(name="seed7"),)})
    run = make.run(protocol)
    with pytest.raises(RefusedError, match="no member seed7"):
        admit(run, root)


def test_a_zoo_that_has_changed_no_longer_carries_a_submission(make, root, weights):
    path = admit(make.run(make.protocol("base")), root)
    file = weights / "PushT" / "diffusion" / "seed42.safetensors"
    file.write_bytes(b"trained again")
    file.with_suffix(".json").write_text(
        json.dumps({"weights_sha256": hashlib.sha256(b"trained again").hexdigest(), "steps": 5})
    )
    with pytest.raises(RefusedError, match="weights of seed42"):
        read_submission(path)


# ---- the command ----


def test_the_command_says_why_in_one_line(make, root, capsys):
    run = make.run(make.protocol())
    edit_json(run / "run.json", lambda value: value["protocol"].update(agent="<b>\x1b[31m"))
    with pytest.raises(SystemExit) as left:
        main(["submit", str(run), "--root", str(root)])
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert error.startswith("dto-board: the agent's name") and error.count("\n") == 1 and "\x1b" not in error


def test_the_command_submits(make, root, capsys):
    run = make.run(make.protocol())
    with pytest.raises(SystemExit) as left:
        main(["submit", str(run), "--root", str(root), "--no-simulate"])
    assert left.value.code == 0 and "submitted to" in capsys.readouterr().out
    shutil.rmtree(root)
    with pytest.raises(SystemExit) as left:
        main(["submit", str(run.parent / "nothing"), "--root", str(root)])
    assert left.value.code == 2 and "not a folder" in capsys.readouterr().err
