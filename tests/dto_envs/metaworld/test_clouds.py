"""Point clouds: what is in them, that they are evenly spread, and that they agree with OpenGL's depth."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest

pytest.importorskip("metaworld")

from dto_envs.metaworld import clouds
from dto_envs.metaworld.sampling_kernel import farthest_points
from dto_envs.metaworld.tasks import TASKS
from dto_envs.opengl import NoDisplayError, fixed_camera, gl_context, release
from dto_envs.wrappers import set_drawing


def moved(task, steps=12, **kwargs):
    env = gym.make(f"dto/{task}-v0", **kwargs)
    env.reset(seed=0)
    for _ in range(steps):
        observation = env.step(np.array([0.3, 0.2, -0.4, 1.0], dtype=np.float32))[0]
    return env, observation


def gl_depth(simulation, size):
    """Distance of every pixel from the camera's plane, (size, size) in m, drawn without sites and multisampling."""
    gl = gl_context(size, size)
    model = simulation.model
    samples, model.vis.quality.offsamples = model.vis.quality.offsamples, 0
    context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    model.vis.quality.offsamples = samples
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    mujoco.mjr_resizeOffscreen(size, size, context)
    options, scene = mujoco.MjvOption(), mujoco.MjvScene(model, maxgeom=1000)
    options.sitegroup[:] = 0
    camera = fixed_camera(model, clouds.CAMERA)
    mujoco.mjv_updateScene(model, simulation.data, options, None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
    viewport, raw = mujoco.MjrRect(0, 0, size, size), np.empty((size, size), dtype=np.float32)
    mujoco.mjr_render(viewport, scene, context)
    mujoco.mjr_readPixels(None, raw, viewport, context)
    release(gl, context)
    near, far = model.stat.extent * model.vis.map.znear, model.stat.extent * model.vis.map.zfar
    return (near * far / (far - raw.astype(np.float64) * (far - near)))[::-1]


@pytest.mark.parametrize("task", ["ShelfPlace", "StickPush"])
def test_rays_meet_what_opengl_draws(task):
    env, _ = moved(task, obs_type="pointcloud")
    camera, simulation = env.unwrapped._clouds, env.unwrapped.simulation
    try:
        depth = gl_depth(simulation, clouds.PIXELS)
    except NoDisplayError:
        pytest.skip("no GL context can be made here")
    index = simulation.model.camera(clouds.CAMERA).id
    place, turned = simulation.data.cam_xpos[index], simulation.data.cam_xmat[index].reshape(3, 3)
    drawn = place + (clouds.pixel_rays(60.0, clouds.PIXELS) @ turned.T) * depth.reshape(-1, 1)
    drawn = drawn[((drawn > clouds.BOX_LOW) & (drawn < clouds.BOX_HIGH)).all(axis=1)]
    simulation.goal = np.full(3, 10.0)  # the ball of the goal is a site, and not drawn here
    cast = camera.points()
    assert len(cast) == pytest.approx(len(drawn), rel=0.02) and len(cast) > 500
    error = np.linalg.norm(drawn[:, None] - cast[None], axis=2).min(axis=1)
    assert np.median(error) < 5e-6 and (error < 1e-3).mean() > 0.97


@pytest.mark.parametrize("task", TASKS)
def test_the_cloud_shows_hand_object_and_goal(task):
    env, observation = moved(task, obs_type="pointcloud")
    assert env.observation_space.contains(observation)
    cloud, simulation = observation["pointcloud"].astype(float), env.unwrapped.simulation
    assert (cloud > clouds.BOX_LOW).all() and (cloud < clouds.BOX_HIGH).all()
    seen = [simulation.data.site("endEffector").xpos, simulation.frame()[4:7]]
    if simulation.task.shows_goal and task != "ShelfPlace":  # the shelf hides the ball within it
        assert np.linalg.norm(cloud - simulation.goal, axis=1).min() < 0.0201
    for place in seen:
        assert np.linalg.norm(cloud - place, axis=1).min() < 0.05


def test_the_same_seed_gives_the_same_cloud():
    first = moved("StickPush", obs_type="pointcloud")[1]
    second = moved("StickPush", obs_type="pointcloud")[1]
    np.testing.assert_array_equal(first["pointcloud"], second["pointcloud"])
    np.testing.assert_array_equal(first["hand"], second["hand"])


def test_a_cloud_that_nobody_looks_at_is_not_cast():
    env, _ = moved("StickPush", obs_type="pointcloud")
    set_drawing(env, False)
    unseen = env.step(np.zeros(4))[0]
    assert not unseen["pointcloud"].any() and unseen["hand"].any()
    set_drawing(env, True)
    assert env.step(np.zeros(4))[0]["pointcloud"].any()


def test_farthest_points_are_those_of_the_definition():
    points = np.random.default_rng(0).uniform(size=(300, 3))
    chosen = [0]
    for _ in range(39):
        distances = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1)
        chosen.append(int(distances.argmax()))
    np.testing.assert_array_equal(farthest_points(points, 40), chosen)


def test_few_points_are_repeated():
    env, _ = moved("Disassemble", obs_type="pointcloud")
    camera = env.unwrapped._clouds
    everything = camera.points()
    camera._rays, count = camera._rays[::4].copy(), len(camera._rays[::4])
    camera._geoms, camera._distances = np.empty(count, dtype=np.int32), np.empty(count)
    few = camera.points()
    assert 0 < len(few) < clouds.CLOUD_SIZE < len(everything)
    cloud = camera.see()
    assert cloud.shape == (clouds.CLOUD_SIZE, 3) and len(np.unique(cloud, axis=0)) == len(few)
