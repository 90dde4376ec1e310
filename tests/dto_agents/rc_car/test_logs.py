import numpy as np

from dto_agents.rc_car.logs import Log, body_velocities


def test_velocities_lead_from_each_pose_to_the_next():
    generator = np.random.default_rng(0)
    poses = np.cumsum(generator.normal(0, 0.1, (50, 3)), axis=0)
    for pose, following, velocity in zip(poses[:-1], poses[1:], body_velocities(poses, 0.05), strict=True):
        c, s = np.cos(pose[2]), np.sin(pose[2])
        moved = pose + 0.05 * np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ velocity
        np.testing.assert_allclose(moved, following, atol=1e-12)


def test_a_car_that_faces_y_and_moves_along_y_drives_forward():
    poses = np.array([[0.0, 0.0, np.pi / 2], [0.0, 0.1, np.pi / 2]])
    np.testing.assert_allclose(body_velocities(poses, 0.1), [[1.0, 0.0, 0.0]], atol=1e-12)


def test_a_part_keeps_times_poses_and_controls_together():
    log = Log(np.arange(10) * 0.1, np.arange(30.0).reshape(10, 3), np.arange(20.0).reshape(10, 2), 0.1)
    part = log.part(3, 7)
    assert len(part) == 4 and part.dt == 0.1
    np.testing.assert_array_equal(part.poses, log.poses[3:7])
    np.testing.assert_array_equal(part.t, log.t[3:7])
