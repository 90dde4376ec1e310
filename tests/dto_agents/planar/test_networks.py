import numpy as np
import pytest
import torch

from dto_agents.planar.networks import ActionNetwork, MechanicsNetwork, Views, stack
from dto_envs.planar_push.tasks import make_task
from dto_envs.planar_push.video import task_video

TASKS = [make_task(name, index) for name in ("train", "test", "omnipush") for index in (0, 3, 8)]


@pytest.fixture(scope="module")
def views() -> Views:
    return stack([task_video(task) for task in TASKS])


def test_views_find_the_object_in_the_pixels(views):
    poses = np.stack([task.poses for task in TASKS])
    np.testing.assert_allclose(views.centroids.numpy(), poses[..., :2], atol=6e-4)
    inertia = [task.polygon.inertia for task in TASKS]
    np.testing.assert_allclose(views.inertia.numpy(), inertia, rtol=0.02)


def test_frames_are_centred_on_the_object(views):
    red = views.frames[:, :, 0].numpy()
    along = np.arange(32) - 15.5
    for index, task in enumerate(TASKS):
        if task.airborne:
            middle = (red[index].sum(axis=1) @ along) / red[index].sum(axis=(1, 2))
            assert np.abs(middle).max() < 0.5


@pytest.mark.parametrize(("network", "most"), [(ActionNetwork, 300_000), (MechanicsNetwork, 400_000)])
def test_targets_move_with_the_object_and_have_gradients(network, most, views):
    torch.manual_seed(0)
    made = network().eval()
    targets = made(views)
    assert targets.shape == (9, 5, 2, 2) and targets.dtype == torch.float64
    assert sum(parameter.numel() for parameter in made.parameters()) < most
    made.train()
    made(views).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)
    assert made.encoder.convolutions[0].weight.grad.abs().max() > 0


def test_rays_have_unit_length_at_most(views):
    torch.manual_seed(0)
    parameters = MechanicsNetwork().eval().parameters_of(views)
    for cones in (parameters.cones, parameters.external_cone):
        assert cones.norm(dim=-1).max() < 1.0 + 1e-9
    assert parameters.poses[:, 0, 2].abs().max() == 0.0


def test_a_video_without_an_object_is_refused():
    video = task_video(TASKS[0])
    video[2] = video[2, :1, :1]
    with pytest.raises(ValueError, match="frame 2 of video 0 shows no object"):
        Views.of(video[None])
