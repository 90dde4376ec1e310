import numpy as np
import pytest
import torch

from dto_agents.planar import dataset
from dto_agents.planar.losses import LOSSES, Lessons
from dto_agents.planar.networks import NETWORKS
from dto_agents.planar.simulator import simulate, trajectory_loss
from dto_envs.planar_push.constants import POSITION_STIFFNESS


@pytest.mark.parametrize("agent", ["nn", "mdr", "cvx", "nnm"])
def test_every_loss_falls(data, agent):
    lessons = Lessons.of(dataset.read(data, "train"))
    torch.manual_seed(0)
    network = NETWORKS[agent]()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        loss = LOSSES[agent](network, lessons)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_labels_lose_nothing_on_the_expert(data):
    examples = dataset.read(data, "train")
    lessons = Lessons.of(examples)
    poses = simulate(lessons.scene, lessons.fingers + lessons.forces / POSITION_STIFFNESS)
    assert trajectory_loss(poses, lessons.poses).max() < 0.5
    one = lessons[torch.tensor([1])]
    assert len(one) == 1 and torch.equal(one.mechanics.facets[0], lessons.mechanics.facets[1])
