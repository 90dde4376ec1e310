"""Submitting in tests, and spoiling what was submitted."""

import json

import numpy as np

from dto_agents.simple import RandomAgent
from dto_eval.boards.submit import submit
from dto_eval.shards import agent_seed


def admit(run, root, **options):
    return submit(run, root / "submissions", simulate=False, **options)[0]


def edit_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def random_actions(env_id):
    """What the catalogue's random agent does: a function of member, init and number of steps."""

    def draw(_, init, steps):
        agent = RandomAgent(env_id)
        agent.reset([agent_seed(0, init)])
        return np.concatenate([agent.act(np.zeros((1, 1))) for _ in range(steps)])

    return draw
