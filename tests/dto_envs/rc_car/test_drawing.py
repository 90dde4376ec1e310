"""Pictures of the RC car: everything is where it belongs, and tyre marks stay until the next episode."""

import gymnasium
import numpy as np
import pytest

import dto_envs
from dto_envs.rc_car.drawing import ASPHALT, CAN, FLOOR, MARK, TARGET, Painter, Scene, frame_size, pixels

SLIDE = np.array([1.0, 1.0], dtype=np.float32)


def near(image: np.ndarray, color: tuple, within: int = 30) -> np.ndarray:
    """Where an image is about one color."""
    return np.abs(image.astype(int) - color).max(axis=2) < within


def at(image: np.ndarray, painter: Painter, point) -> np.ndarray:
    """The pixel (3,) of a point in m."""
    ((x, y),) = painter.view.px([point])
    share = image.shape[0] / painter.view.size[1]
    return image[int(y * share), int(x * share)]


def test_cans_targets_and_car_stand_where_they_are():
    env = gymnasium.make("dto/RCCarParking-v0", render_mode="rgb_array")
    env.reset(options={"state": [1.0, -0.5, 0.3, 0.0, 0.0, 0.0]})
    image, painter = env.render(), env.unwrapped._painters["frame"]
    assert image.shape == (400, 800, 3)
    for can in env.unwrapped.scenario.cans:
        edge = at(image, painter, (can[0] + 0.026, can[1]))
        assert np.abs(edge.astype(int) - CAN).max() < 60
    x, y, _ = env.unwrapped.scenario.target.pose
    assert np.abs(at(image, painter, (x + 0.18, y)).astype(int) - TARGET).max() < 60
    blue = at(image, painter, (1.0 - 0.08, -0.5 - 0.03)).astype(int)
    assert blue[2] > blue[0] + 100
    np.testing.assert_array_equal(at(image, painter, (0.3, 0.77)), FLOOR)


def test_marks_appear_where_tyres_slide_and_stay_until_the_next_episode():
    env = gymnasium.make("dto/RCCarDriftTurn-v0", render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    for _ in range(15):
        env.step(SLIDE)
    assert near(env.render(), MARK).sum() > near(first, MARK).sum() + 300
    env.reset(seed=0)
    np.testing.assert_array_equal(env.render(), first)


def test_marks_from_before_the_first_look_are_there():
    looked, waited = (gymnasium.make("dto/RCCarDriftTurn-v0", render_mode="rgb_array") for _ in range(2))
    for env in (looked, waited):
        env.reset(seed=0)
        for _ in range(12):
            env.step(SLIDE)
            if env is looked:
                env.render()
    np.testing.assert_array_equal(looked.render(), waited.render())


def test_marks_are_in_image_observations_too():
    env = gymnasium.make("dto/RCCarDriftTurn-v0", obs_type="image")
    start, _ = env.reset(seed=0)
    for _ in range(25):
        env.step(SLIDE)
    env.unwrapped._motion.reset(np.array([3.0, 3.0, 0.0, 0.0, 0.0, 0.0]))
    away = env.step(np.zeros(2, dtype=np.float32))[0]
    assert (np.abs(away.astype(int) - start).max(axis=2) > 15).sum() > 40


@pytest.mark.parametrize("track", ["oval", "L"])
def test_the_track_is_asphalt_within_its_edges(track):
    env = gymnasium.make("dto/RCCarRace-v0", track=track, render_mode="rgb_array")
    env.reset(seed=0)
    scene, painter, shape = env.unwrapped._scene(), env.unwrapped._painters["frame"], env.unwrapped.track
    image = pixels(painter.paint(scene, env.unwrapped.state, np.zeros(2)))
    for progress in np.arange(0.7, shape.length - 0.5, 0.41):
        if np.abs(shape.ahead(shape.gates, progress)).min() < 0.1:
            continue
        for offset, color in ((0.3, ASPHALT), (-0.3, ASPHALT), (0.55, None), (-0.55, None)):
            pixel = at(image, painter, shape.poses(np.array([progress]), offset)[0, :2])
            if color is None:
                assert pixel.min() > 190
            else:
                np.testing.assert_array_equal(pixel, color)


def test_a_picture_depends_on_the_state_alone():
    scene = Scene(points=np.array([[0.0, 0.0], [2.0, 1.0]]), cans=((1.0, 0.5),), targets=((2.0, 1.0, 0.5),))
    images = []
    for _ in range(2):
        painter = Painter(frame_size(scene), 2)
        painter.begin(scene)
        painter.paint(scene, np.array([0.5, 0.5, 1.0]), np.zeros(2), "before")
        images.append(pixels(painter.paint(scene, np.array([0.3, 0.2, 0.1]), np.array([0.0, 1.0]), None)))
    np.testing.assert_array_equal(*images)
    straight = pixels(painter.paint(scene, np.array([0.3, 0.2, 0.1]), np.zeros(2), None))
    assert (straight != images[0]).any()


@pytest.mark.parametrize("env_id", [env_id for env_id in dto_envs.ENVS if "RCCar" in env_id])
def test_drawing_changes_nothing_else(env_id):
    plain, drawn = gymnasium.make(env_id), gymnasium.make(env_id, obs_type="state_image", render_mode="rgb_array")
    np.testing.assert_array_equal(plain.reset(seed=4)[0], drawn.reset(seed=4)[0]["state"])
    for _ in range(5):
        drawn.render()
        np.testing.assert_array_equal(plain.step(SLIDE)[0], drawn.step(SLIDE)[0]["state"])
