"""The table of environments, its errors, and that importing the package loads no simulator."""

import json
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import dto_envs
from dto_envs.registry import MissingExtraError, UnknownEnvError, register_all, require, row


def run_python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_importing_loads_neither_simulators_nor_torch():
    heavy = ["torch", "numba", "scipy", "mujoco", "robosuite", "pymunk", "pygame", "matplotlib", "proxsuite"]
    done = run_python(f"import json, sys, dto_envs; print(json.dumps([m for m in {heavy} if m in sys.modules]))")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_importing_wrappers_and_filters_loads_neither_simulators_nor_torch():
    done = run_python(
        "import sys, dto_envs.wrappers, dto_envs.filters; "
        "assert not {'torch', 'mujoco', 'pymunk', 'pygame'} & set(sys.modules), sorted(sys.modules)"
    )
    assert done.returncode == 0, done.stderr


def test_an_id_can_bring_the_package_with_it():
    done = run_python("import gymnasium; print(gymnasium.make('dto_envs:dto/PushT-v0').unwrapped.task)")
    assert done.stdout.strip() == "PushT", done.stderr


@pytest.mark.parametrize("asked, nearest", [("dto/square-v0", "dto/Square-v0"), ("PushT", "dto/PushT-v0")])
def test_an_unknown_id_names_the_nearest(asked, nearest):
    with pytest.raises(UnknownEnvError, match=nearest):
        row(asked)


def test_an_id_like_none_other_names_them_all():
    with pytest.raises(UnknownEnvError) as caught:
        row("zzzzqqqq")
    assert all(env_id in str(caught.value) for env_id in dto_envs.ENVS)


def test_gymnasium_itself_names_the_nearest_id():
    with pytest.raises(gymnasium.error.NameNotFound, match="PushT"):
        gymnasium.make("dto/PushTee-v0")


def test_a_missing_extra_names_the_command():
    with pytest.raises(MissingExtraError, match=r"no_such_module.*pip install 'dto-envs\[robomimic\]'"):
        require("robomimic", "json", "no_such_module")
    require("robomimic", "json")


def test_making_an_environment_without_its_extra_gives_that_one_error():
    done = run_python(
        "import sys; sys.modules['robosuite'] = None\nimport gymnasium, dto_envs\ngymnasium.make('dto/Square-v0')"
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "MissingExtraError" in last and "pip install 'dto-envs[robomimic]'" in last
    assert "During handling" not in done.stderr


def test_registering_twice_is_harmless():
    register_all()
    assert [env_id for env_id in gymnasium.registry if env_id.startswith("dto/")] == list(dto_envs.ENVS)


@pytest.mark.parametrize("entry", dto_envs.ENVS.values(), ids=dto_envs.ENVS)
def test_rows_are_consistent(entry):
    layout = entry.layout
    for values in (layout.low, layout.high, layout.units, layout.scale):
        assert len(values) == layout.size
    assert set(layout.trajectory) <= set(range(layout.size))
    assert all(set(dims) <= set(layout.trajectory) for _, dims in layout.groups)
    assert 0 < layout.bound <= 2 and layout.dt > 0 and entry.horizon > 0 and entry.shard_size > 0
    assert entry.headline in ("success", "score")


@pytest.mark.parametrize("entry", dto_envs.ENVS.values(), ids=dto_envs.ENVS)
def test_layouts_normalize_and_back(entry):
    layout = entry.layout
    raw = np.random.default_rng(0).uniform(layout.low, layout.high, size=(7, layout.size))
    normalized = layout.normalize(raw)
    assert np.abs(normalized).max() <= 1 + 1e-12
    np.testing.assert_allclose(layout.denormalize(normalized), raw, rtol=0, atol=1e-10)
    np.testing.assert_allclose(layout.normalize(np.array(layout.high)), 1.0)
    np.testing.assert_allclose(layout.normalize(np.array(layout.low)), -1.0)


def test_push_t_limits_are_the_papers_in_px():
    layout = row("dto/PushT-v0").layout
    px = layout.denormalize(np.full(2, layout.bound)) - layout.denormalize(np.zeros(2))
    np.testing.assert_allclose(px, [12.475, 12.150])
