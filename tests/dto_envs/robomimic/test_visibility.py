"""What is left out of a scene, checked by casting rays; no OpenGL is needed."""

import mujoco
import numpy as np
import pytest

from dto_envs.robomimic.visibility import NONE, View, find_table, hide_unseen

XML = """
<mujoco>
  <asset><material name="tiles" reflectance="0.2"/></asset>
  <worldbody>
    <geom name="floor" type="plane" size="3 3 .1" material="tiles" group="1"/>
    <geom name="table" type="box" size=".4 .6 .02" pos=".1 0 .8" euler="0 0 20" group="1"/>
    <geom name="glass" type="box" size="2 2 .02" pos="0 0 .5" rgba="1 1 1 .1" group="1"/>
    <geom name="unseen box" type="box" size="2 2 .02" pos="0 0 .6" group="0"/>
    {balls}
  </worldbody>
</mujoco>
"""
PIXELS = 25


def build(balls: int, seed: int = 0):
    generator = np.random.default_rng(seed)
    ball = '<geom type="{}" group="1" size=".05 .05 .05" pos="{} {} {}"/>'
    text = "".join(
        ball.format(generator.choice(["sphere", "box", "capsule"]), *place)
        for place in np.column_stack([generator.uniform(-2, 2, (balls, 2)), generator.uniform(0.1, 2, balls)])
    )
    model = mujoco.MjModel.from_xml_string(XML.format(balls=text))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def look(model, data, lookat, distance, azimuth, elevation):
    """An updated scene as a free camera sees it."""
    camera, options = mujoco.MjvCamera(), mujoco.MjvOption()
    camera.lookat[:], camera.distance, camera.azimuth, camera.elevation = lookat, distance, azimuth, elevation
    options.geomgroup[:2] = (0, 1)
    scene = mujoco.MjvScene(model, maxgeom=400)
    mujoco.mjv_updateScene(model, data, options, None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
    scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
    return scene


def cast(model, data, start, direction):
    """The first visible geom on a ray, and where it is hit; glass is looked through."""
    groups, geom = np.array([0, 1, 0, 0, 0, 0], dtype=np.uint8), np.zeros(1, dtype=np.int32)
    direction = direction / np.linalg.norm(direction)
    distance = mujoco.mj_ray(model, data, start, direction, groups, 1, -1, geom)
    hit = start + distance * direction
    if geom[0] == model.geom("glass").id:
        return cast(model, data, hit + 1e-6 * direction, direction)
    return int(geom[0]), hit


def visible(model, data, scene):
    """Ids of the geoms that rays through the picture meet, also after the floor has reflected them."""
    view, floor = View.of(scene), model.geom("floor").id
    left, bottom, right, top = view.window
    found = set()
    for x in np.linspace(left, right, PIXELS):
        for y in np.linspace(bottom, top, PIXELS):
            ray = np.array([x, y, 1.0]) @ view.axes
            geom, hit = cast(model, data, view.position, ray)
            found.add(geom)
            if geom == floor:
                found.add(cast(model, data, hit + [0, 0, 1e-9], ray * [1, 1, -1])[0])
    return found - {-1}


def kept(scene):
    return {geom.objid for geom in scene.geoms[: scene.ngeom] if geom.type != NONE}


@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_a_ray_meets_is_left_out(seed):
    model, data = build(balls=60, seed=seed)
    generator = np.random.default_rng(seed)
    lookat = [*generator.uniform(-0.3, 0.3, 2), 0.8]
    scene = look(model, data, lookat, generator.uniform(0.3, 2), generator.uniform(0, 360), generator.uniform(-80, -15))
    before = kept(scene)
    hide_unseen(scene, model, data, find_table(model))
    assert visible(model, data, scene) <= kept(scene)
    assert len(kept(scene)) < 0.8 * len(before)


def test_a_table_that_fills_the_picture_hides_floor_mirror_and_all_below():
    model, data = build(balls=60)
    scene = look(model, data, [0.1, 0, 0.82], distance=0.3, azimuth=30, elevation=-85)
    hide_unseen(scene, model, data, find_table(model))
    # The glass lies below, but its bounding sphere is larger than the table is high.
    assert kept(scene) == {model.geom("table").id, model.geom("glass").id}
    assert not scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION]
    again = look(model, data, [0.1, 0, 0.82], distance=2.5, azimuth=30, elevation=-40)
    hide_unseen(again, model, data, find_table(model))
    assert model.geom("floor").id in kept(again) and again.flags[mujoco.mjtRndFlag.mjRND_REFLECTION]
    hide_unseen(again, model, data, find_table(model), mirrors=False)
    assert not again.flags[mujoco.mjtRndFlag.mjRND_REFLECTION]


@pytest.mark.parametrize("elevation", [-20, 80])
def test_a_camera_under_the_table_sees_what_is_there(elevation):
    model, data = build(balls=300)
    scene = look(model, data, [0.1, 0, 0.6], distance=0.5, azimuth=30, elevation=elevation)
    hide_unseen(scene, model, data, find_table(model))
    seen = visible(model, data, scene)
    assert seen <= kept(scene) and len(seen) > 1


def test_the_table_is_the_largest_box_that_is_seen_opaque_and_level():
    model, _ = build(balls=0)
    assert model.geom(find_table(model)).name == "table"
    model.geom_rgba[model.geom("table").id, 3] = 0.5
    assert find_table(model) is None


def test_without_a_table_only_what_is_beside_the_view_is_left_out():
    model, data = build(balls=60)
    scene = look(model, data, [0.1, 0, 0.82], distance=0.3, azimuth=30, elevation=-85)
    hide_unseen(scene, model, data, None)
    assert model.geom("floor").id in kept(scene) and 0 < len(kept(scene)) < 30


def test_shadows_keep_everything():
    model, data = build(balls=60)
    scene = look(model, data, [0.1, 0, 0.82], distance=0.3, azimuth=30, elevation=-85)
    scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 1
    scene.lights[0].castshadow = 1
    before = kept(scene)
    hide_unseen(scene, model, data, find_table(model))
    assert kept(scene) == before
