"""A small data set of planar pushing, planned by the expert."""

import pytest

from dto_agents.planar import dataset
from dto_envs.planar_push.tasks import make_task

KEPT = {"train": (0, 8), "fine-tune": (1, 9), "extra": (2,)}


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("planar") / "planar.hdf5"
    solved = {name: dataset.solve_example for name in KEPT}
    sets = [
        (name, [solve(make_task("train" if name == "extra" else name, index)) for index in KEPT[name]])
        for name, solve in solved.items()
    ]
    dataset.write(path, sets)
    return path
