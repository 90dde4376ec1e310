"""What agents see: scenes in the order that is promised, tasks to the bit, and videos against an exact oracle."""

import numpy as np
import pytest
import shapely

from dto_envs.planar_push.constants import HOME, VIDEO_BOTTOM, VIDEO_LEFT, VIDEO_SIDE, VIDEO_SIZE
from dto_envs.planar_push.observations import (
    SCENE_SIZE,
    STATE_SIZE,
    TASK_SIZE,
    observe_scene,
    observe_task,
    read_task,
)
from dto_envs.planar_push.physics import World
from dto_envs.planar_push.shapes import Polygon, to_world
from dto_envs.planar_push.tasks import SETS, Task, make_task
from dto_envs.planar_push.video import GROUND_COLOR, OBJECT_COLOR, SKY, check_video, frame, task_video

SQUARE = Polygon.from_points(np.array([[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]))
PIXEL = VIDEO_SIDE / VIDEO_SIZE


@pytest.mark.parametrize("name", SETS)
def test_a_task_is_read_back_to_the_bit(name):
    for index in range(0, SETS[name].size, 3):
        task = make_task(name, index)
        numbers = observe_task(task)
        assert numbers.shape == (TASK_SIZE,)
        for source in (numbers, np.concatenate([np.zeros(SCENE_SIZE), numbers])):
            again = read_task(source)
            np.testing.assert_array_equal(again.poses, task.poses)
            np.testing.assert_array_equal(again.polygon.vertices, task.polygon.vertices)
            assert again.airborne is task.airborne and again.digest == task.digest


def test_a_scene_is_in_the_promised_order():
    task = make_task("train", 0)
    world = World(task)
    scene = observe_scene(world, 0)
    np.testing.assert_array_equal(scene[:4], np.ravel(HOME))
    np.testing.assert_array_equal(scene[4:8], 0.0)
    np.testing.assert_array_equal(scene[8:11], task.poses[0])
    np.testing.assert_array_equal(scene[11:14], task.velocity)
    world.command(np.array([[-0.4, 0.7], [0.4, 0.8]]))
    world.command(np.array([[-0.4, 0.72], [0.4, 0.8]]))
    scene = observe_scene(world, 2)
    np.testing.assert_allclose(scene[:4], [-0.4, 0.72, 0.4, 0.8], atol=2e-3)
    assert abs(scene[5] - 0.2) < 0.02 and scene[14] == 2.0
    np.testing.assert_array_equal(scene[8:14], [*world.pose(), *world.velocity()])


def test_what_is_no_observed_task_is_refused():
    with pytest.raises(ValueError, match=f"{TASK_SIZE} numbers, or from a state of {STATE_SIZE}"):
        read_task(np.zeros(SCENE_SIZE))
    with pytest.raises(ValueError, match="this one has 4"):
        observe_task(Task(SQUARE, np.zeros((4, 3)), airborne=True))
    circle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    wheel = Polygon.from_points(0.1 * np.stack([np.cos(circle), np.sin(circle)], axis=1))
    with pytest.raises(ValueError, match="and 20"):
        observe_task(Task(wheel, np.zeros((5, 3)), airborne=True))


def coverage(picture: np.ndarray) -> np.ndarray:
    """(50, 50) share of each pixel of the sky that the object covers."""
    return ((SKY - picture) @ (SKY - OBJECT_COLOR)) / ((SKY - OBJECT_COLOR) @ (SKY - OBJECT_COLOR))


@pytest.mark.parametrize(("name", "index"), [("train", 0), ("test", 1), ("omnipush", 2)])
def test_pixels_are_covered_as_shapely_says(name, index):
    task = make_task(name, index)
    assert task.airborne
    video = task_video(task)
    assert video.shape == (5, 50, 50, 3) and video.dtype == np.uint8
    low_x = VIDEO_LEFT + PIXEL * np.arange(VIDEO_SIZE)
    top_y = VIDEO_BOTTOM + VIDEO_SIDE - PIXEL * np.arange(VIDEO_SIZE)
    for pose, picture in zip(task.poses, video, strict=True):
        shape = shapely.Polygon(to_world(pose, task.polygon.vertices))
        x, y = np.meshgrid(low_x, top_y)
        pixels = shapely.box(x, y - PIXEL, x + PIXEL, y)
        exact = shapely.area(shapely.intersection(shape, pixels)) / PIXEL**2
        found = coverage(picture)[:-6]
        assert np.abs(found - exact[:-6]).max() < 0.2
        assert found.sum() == pytest.approx(exact.sum(), rel=0.01)


def test_videos_of_another_kind_are_refused():
    video = task_video(make_task("train", 0))
    check_video(video)
    check_video(np.stack([video, video]))
    for other in (video[:4], video[:, :40], video[..., :1], video.astype(np.float32), np.swapaxes(video, 1, 3), [1, 2]):
        with pytest.raises(ValueError, match=r"video is \(..., 5, 50, 50, 3\) uint8"):
            check_video(other)


def test_the_ground_fills_the_lowest_five_rows():
    picture = frame(to_world(np.array([0.0, 0.5, 0.0]), SQUARE.vertices))
    assert (picture[-5:] == GROUND_COLOR.astype(np.uint8)).all()
    assert (picture[:-5, :5] == 255).all()


def test_a_grounded_object_stands_on_the_ground():
    task = next(task for task in (make_task("train", i) for i in range(20)) if not task.airborne)
    for picture in task_video(task):
        # The lowest vertex may be a corner, which covers little of a pixel.
        assert coverage(picture)[-6].max() > 0.05
        assert (picture[-5:] == GROUND_COLOR.astype(np.uint8)).all()


def test_what_leaves_the_picture_is_cut_off():
    aside = frame(to_world(np.array([0.45, 0.4, 0.0]), SQUARE.vertices))
    assert (aside[:, -1] != 255).any() and (aside[:13] == 255).all()
    assert (frame(to_world(np.array([3.0, 0.4, 0.0]), SQUARE.vertices))[:-5] == 255).all()
