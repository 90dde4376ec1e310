import json
import multiprocessing
import os
import signal

import gymnasium
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_agents.demos.collect import (
    GOES_ON,
    Collection,
    _attempts,
    _chosen,
    _next_seed,
    collect,
    env_args,
    record_episode,
)
from dto_agents.demos.dataset import DemonstrationError, environment_of, load_demonstrations, task_format
from dto_agents.demos.robomimic import write_demo, write_file
from dto_agents.experts import make_expert
from dto_agents.experts.operators import MULTI, OPERATORS

LIFT, TRANSPORT, WALL = "dto/Lift-v0", "dto/Transport-v0", "dto/PickPlaceWall-v0"


@pytest.mark.parametrize(
    ("collection", "message"),
    [
        (Collection("dto/PushT-v0", 3), "no scripted expert for dto/PushT-v0"),
        (Collection(LIFT, 0), "episodes must be from 1"),
        (Collection(LIFT, 6, operators="many"), "operators must be single or multi, got 'many'"),
        (Collection(LIFT, 8, operators="multi"), "6 operators cannot share 8 episodes evenly"),
        (Collection(LIFT, 3, first_seed=-1), "first_seed must be from 0 to 99974"),
        (Collection(LIFT, 3, first_seed=99_990), "belong to evaluations"),
    ],
)
def test_collections_that_make_no_sense_leave_nothing(collection, message, tmp_path):
    with pytest.raises(DemonstrationError, match=message):
        collect(collection, tmp_path / "demos.hdf5")
    assert list(tmp_path.iterdir()) == []


def test_existing_files_and_parts_of_another_collection_are_refused(tmp_path):
    out = tmp_path / "demos.hdf5"
    out.write_text("precious")
    with pytest.raises(DemonstrationError, match="is there already"):
        collect(Collection(LIFT, 1), out)
    assert out.read_text() == "precious"
    out.unlink()
    parts = tmp_path / "demos.hdf5.parts"
    parts.mkdir()
    (parts / "collection.json").write_text(json.dumps({"env_id": "dto/Can-v0"}))
    with pytest.raises(DemonstrationError, match="parts of another collection"):
        collect(Collection(LIFT, 1), out)


def test_a_recorded_episode_can_be_replayed_from_its_states():
    pytest.importorskip("robosuite")
    env = gymnasium.make(LIFT)
    recording, success = record_episode(env, make_expert(LIFT), 3)
    assert success and recording.rewards[-1] == 1.0
    steps = len(recording.actions)
    assert all(len(values) == steps + 1 for values in recording.observations.values())
    observation, info = env.reset(seed=3)
    assert info["init_hash"] == recording.attributes["init_hash"]
    for step in range(steps):
        seen = np.concatenate([values[step] for values in recording.observations.values()])
        np.testing.assert_array_equal(observation, seen)
        np.testing.assert_array_equal(env.unwrapped.get_state(), recording.states[step])
        observation, *_ = env.step(recording.actions[step].astype(np.float32))
    env.close()


def test_a_puck_is_brought_on_after_its_success():
    pytest.importorskip("metaworld")
    env = gymnasium.make(WALL, terminate_on_success=False)
    recording, success = record_episode(env, make_expert(WALL), 3)
    states = recording.observations["state"]
    away = np.linalg.norm(states[1:, 4:7] - states[1:, 36:39], axis=1)  # after each action
    first = int(np.argmax(away <= 0.07))
    assert success and len(recording.actions) == first + 1 + GOES_ON[WALL]
    assert away[-1] < away[first] - 0.01
    assert env_args(WALL)["env_kwargs"] == {"terminate_on_success": False}
    short = gymnasium.make(WALL, max_episode_steps=first + 3, terminate_on_success=False)
    recording, success = record_episode(short, make_expert(WALL), 3)
    assert success and len(recording.actions) == first + 3  # the success counts that came before the end
    env.close()
    short.close()


def test_files_name_what_two_arms_see_as_robomimic_does(tmp_path):
    pytest.importorskip("robosuite")
    env = gymnasium.make(TRANSPORT, max_episode_steps=3)
    recording, success = record_episode(env, make_expert(TRANSPORT), 3)
    observation, _ = env.reset(seed=3)
    env.close()
    assert not success and recording.actions.shape == (3, 14)
    sizes = {"object": 41}
    for robot in ("robot0", "robot1"):
        sizes |= {f"{robot}_eef_pos": 3, f"{robot}_eef_quat": 4, f"{robot}_gripper_qpos": 2}
    assert {key: values.shape for key, values in recording.observations.items()} == {
        key: (4, size) for key, size in sizes.items()
    }
    assert tuple(sizes) == task_format(TRANSPORT).keys

    args, path = env_args(TRANSPORT), tmp_path / "demos.hdf5"
    assert (args["env_name"], args["env_kwargs"]["robots"]) == ("TwoArmTransport", ["Panda", "Panda"])
    assert args["env_kwargs"]["env_configuration"] == "opposed"
    assert "env_configuration" not in env_args(LIFT)["env_kwargs"]
    write_file(path, args, [lambda group: write_demo(group, recording)])
    (episode,) = load_demonstrations(path, TRANSPORT).episodes
    np.testing.assert_array_equal(episode.observations[0], observation)


def test_a_collection_whose_worker_is_killed_goes_on_to_the_same_file(tmp_path):
    pytest.importorskip("robosuite")

    def kill_after_the_first(progress):
        if progress.attempts:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)

    collection, whole, broken = Collection(LIFT, 5), tmp_path / "whole.hdf5", tmp_path / "broken.hdf5"
    assert collect(collection, whole, workers=1).successes == 5
    with pytest.raises(DemonstrationError, match="a worker process died; the finished episodes are kept"):
        collect(collection, broken, workers=2, report=kill_after_the_first)
    assert not broken.exists()
    kept = {part.name: part.stat().st_mtime_ns for part in (tmp_path / "broken.hdf5.parts").glob("*.hdf5")}
    assert kept
    first = []
    collect(collection, broken, workers=1, report=lambda progress: first or first.append(progress))
    assert first[0].successes == len(kept)
    assert broken.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.hdf5", "whole.hdf5"]

    assert len(load_demonstrations(whole, LIFT).episodes) == 5
    with h5py.File(whole) as file:
        args = json.loads(file["data"].attrs["env_args"])
        assert (args["env_name"], args["type"], args["env_kwargs"]["control_freq"]) == ("Lift", 1, 20)
        seeds = [int(file[f"data/demo_{k}"].attrs["seed"]) for k in range(5)]
        assert seeds == sorted(set(seeds)) and seeds[-1] < 100_000


def test_six_operators_share_a_file_in_turns(tmp_path):
    pytest.importorskip("robosuite")
    path = tmp_path / "multi.hdf5"
    progress = collect(Collection(LIFT, 12, first_seed=30, operators="multi"), path)
    assert progress.successes == 12 and progress.attempts >= 12
    with h5py.File(path) as file:
        seeds = [int(file[f"data/demo_{k}"].attrs["seed"]) for k in range(12)]
        subsets = {name: [member.decode() for member in file["mask"][name]] for name in file["mask"]}
    assert seeds == sorted(set(seeds))
    assert set(subsets) == {"train", "valid", "better", "okay", "worse", *(person.name for person in MULTI)}
    for place, person in enumerate(MULTI):
        members = [int(name.removeprefix("demo_")) for name in subsets[person.name]]
        assert len(members) == 2 and all((seeds[k] - 30) % 6 == place for k in members)
    lengths = {
        level: np.mean([len(episode) for episode in load_demonstrations(path, LIFT, mask=level).episodes])
        for level in ("better", "worse")
    }
    assert lengths["worse"] > lengths["better"]


@given(
    outcomes=st.dictionaries(st.integers(5, 60), st.booleans()),
    share=st.integers(1, 5),
    operators=st.sampled_from(["single", "multi"]),
)
def test_everyones_share_is_the_first_successes_without_a_gap(outcomes, share, operators):
    people = len(OPERATORS[operators])
    collection = Collection(LIFT, share * people, 5, operators)
    attempts = _attempts(outcomes, collection)
    for person in range(people):
        mine = [seed for seed in attempts if (seed - 5) % people == person]
        assert mine == list(range(5 + person, 5 + person + people * len(mine), people))
        assert sum(outcomes[seed] for seed in mine) <= share and all(seed in outcomes for seed in mine)
        assert not mine or sum(outcomes[seed] for seed in mine[:-1]) < share
    chosen = _chosen(outcomes, collection)
    assert chosen is None or [outcomes[seed] for seed in chosen] == [True] * (share * people)
    if chosen is None:
        following = _next_seed(outcomes, [], collection)
        assert following not in outcomes and following >= 5


def test_a_car_is_driven_by_its_expert(tmp_path):
    path = tmp_path / "turn.hdf5"
    ended = collect(Collection("dto/RCCarDriftTurn-v0", 1, first_seed=7), path)
    demonstrations = load_demonstrations(path, "dto/RCCarDriftTurn-v0")
    assert ended.successes == len(demonstrations.episodes) == 1
    (episode,) = demonstrations.episodes
    assert episode.observations.shape == (60, 38) and episode.actions.shape == (60, 2)
    assert environment_of(path) == "dto/RCCarDriftTurn-v0"
    with pytest.raises(DemonstrationError, match="one expert"):
        Collection("dto/RCCarDriftTurn-v0", 6, operators="multi").check()


def test_the_stack_is_demonstrated_without_the_chopstick_it_is_evaluated_with(tmp_path):
    pytest.importorskip("robosuite")
    env_id, out = "dto/MoveStack-v0", tmp_path / "stack.hdf5"
    assert collect(Collection(env_id, 1), out).successes == 1
    with h5py.File(out) as file:
        assert json.loads(file["data"].attrs["env_args"])["env_kwargs"] == {"chopstick": False}
        hash_ = file["data/demo_0"].attrs["init_hash"]
    (episode,) = load_demonstrations(out, env_id).episodes
    hashes = {}
    for chopstick in (False, True):
        env = gymnasium.make(env_id, chopstick=chopstick)
        observation, info = env.reset(seed=0)
        hashes[chopstick] = info["init_hash"]
        env.close()
        if not chopstick:
            np.testing.assert_array_equal(observation, episode.observations[0])
    assert hash_ == hashes[False] != hashes[True]
