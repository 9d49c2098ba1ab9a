"""Cameras: the two published conventions, against recorded values and against formulas."""

import numpy as np
import pytest

from samplenet.data import cameras

# Recorded from the released code of Differentiable Point Clouds: positions in Blender's axes, the
# quaternions it makes of them, and the yaw and pitch it reads back. The last one is a half turn,
# where the released conversion of a matrix gives NaN.
POSITIONS = [
    [1.290247993, -0.967685995, 1.182727327],
    [-0.433224289, 1.841203228, 0.649836433],
    [0.310252614, 0.206835076, -1.964933222],
    [-1.653953539, -1.102635693, 0.220527139],
    [1.975525931, 0.0, 0.311925147],
]
QUATERNIONS = [
    [-0.300533276, -0.295157165, 0.901599827, -0.098385722],
    [-0.773206569, 0.102262766, -0.612390937, -0.129117264],
    [-0.223193871, -0.61042718, -0.737159281, 0.184822479],
    [-0.955631917, -0.016000727, 0.289342063, -0.052846813],
    [0.0, -0.078220952, 0.996936047, 0.0],
]
YAW_PITCH = [
    [-2.4980915, 0.63274884],
    [1.3397057, 0.33092526],
    [2.55359, -1.3832604],
    [-0.5880026, 0.110488236],
    [3.1415927, 0.15660188],
]
EVERY = np.array([(az, el) for az in range(-180, 180, 15) for el in (-90, -20, 0, 39, 90)])


def about(axis, angle):
    """Return the matrices (..., 3, 3) of right-handed turns by an angle (...) about an axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*np.shape(angle), 3, 3))
    matrix[..., axis, axis] = 1
    matrix[..., i, i] = matrix[..., j, j] = np.cos(angle)
    matrix[..., j, i], matrix[..., i, j] = np.sin(angle), -np.sin(angle)
    return matrix


def of_positions():
    azimuth, elevation, distance = cameras.angles(POSITIONS @ cameras.TO_BLENDER)
    np.testing.assert_allclose(distance, 2, rtol=1e-8)
    return cameras.extrinsic(azimuth, elevation, distance)


def test_the_camera_sees_the_origin_in_the_middle_and_the_upper_half_above():
    extrinsic = cameras.extrinsic(*EVERY.T)
    K = cameras.intrinsics(64)
    pixels, depth = cameras.project([[0, 0, 0]], extrinsic, K)
    np.testing.assert_allclose(pixels[:, 0], np.broadcast_to(32, (len(EVERY), 2)), atol=1e-9)
    np.testing.assert_allclose(depth, 2, rtol=1e-12)
    level = abs(EVERY[:, 1]) < 90
    above, _ = cameras.project([[0, 0.1, 0]], extrinsic[level], K)
    assert (above[..., 1] < 32).all() and np.allclose(above[..., 0], 32)
    # azimuth 0 sees from +x, so that -z is on the right; azimuth 90 sees from -z
    right, _ = cameras.project([[0, 0, -0.1]], cameras.extrinsic(0, 0), K)
    np.testing.assert_allclose(right, [[32 + 120 * 0.1 / 2, 32]])
    np.testing.assert_allclose(
        cameras.centre(cameras.extrinsic([0, 90], 0, 3)), [(3, 0, 0), (0, 0, -3)], atol=1e-12
    )


def test_rotations_are_proper_and_angles_read_back():
    extrinsic = cameras.extrinsic(*EVERY.T, 1.5)
    turned = extrinsic[:, :3, :3]
    np.testing.assert_allclose(
        turned @ np.swapaxes(turned, 1, 2), np.eye(3) + 0 * turned, atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(turned), 1)
    azimuth, elevation, distance = cameras.angles(cameras.centre(extrinsic))
    np.testing.assert_allclose(elevation, EVERY[:, 1], atol=1e-9)
    np.testing.assert_allclose(distance, 1.5)
    level = abs(EVERY[:, 1]) < 90
    off = (azimuth - EVERY[:, 0])[level]
    np.testing.assert_allclose((off + 180) % 360, 180, atol=1e-9)


def test_points_come_back_from_their_pixels():
    rng = np.random.default_rng(0)
    extrinsic, K = cameras.extrinsic([10, 200, 3], [-20, 5, 39]), cameras.intrinsics(128)
    points = rng.uniform(-0.3, 0.3, (3, 50, 3))
    pixels, depth = cameras.project(points, extrinsic, K)
    assert pixels.shape == (3, 50, 2) and 0 < pixels.min() < pixels.max() < 128
    np.testing.assert_allclose(cameras.unproject(pixels, depth, extrinsic, K), points, atol=1e-12)


def test_dpc_quaternions_are_the_recorded_ones():
    found = cameras.to_dpc(of_positions())
    assert np.isfinite(found).all() and (found[:, 0] >= 0).all()
    same = np.abs((found * QUATERNIONS).sum(1))  # q and -q are one rotation
    np.testing.assert_allclose(same, 1, atol=1e-8)
    recorded = cameras.from_dpc(QUATERNIONS)
    np.testing.assert_allclose(recorded, of_positions(), atol=1e-8)
    yaw, pitch = np.array(YAW_PITCH).T
    np.testing.assert_allclose(
        cameras.rotation(QUATERNIONS), about(2, pitch) @ about(1, yaw), atol=1e-6
    )


def test_dpc_projects_where_the_extrinsic_does():
    """Its renderer: z = c0 + 2 deep, 1.875 c1 / z up and 1.875 c2 / z right of the middle."""
    extrinsic = of_positions()
    points = np.random.default_rng(1).uniform(-0.3, 0.3, (30, 3))
    forward, up, right = np.moveaxis(
        points @ np.swapaxes(cameras.rotation(cameras.to_dpc(extrinsic)), 1, 2), -1, 0
    )
    pixels, depth = cameras.project(points, extrinsic, cameras.intrinsics(1))
    np.testing.assert_allclose(depth, forward + 2, atol=1e-8)
    np.testing.assert_allclose(pixels[..., 0], 0.5 + 1.875 * right / depth, atol=1e-8)
    np.testing.assert_allclose(pixels[..., 1], 0.5 - 1.875 * up / depth, atol=1e-8)


def test_differ_is_the_product_of_its_two_turns():
    rng = np.random.default_rng(2)
    azimuth, elevation = rng.integers(-180, 180, 200), rng.integers(-20, 40, 200)
    published = about(1, np.radians(elevation)) @ about(0, np.radians(azimuth))
    extrinsic = cameras.extrinsic(azimuth, elevation)
    found = cameras.to_differ(extrinsic)
    np.testing.assert_allclose(found[:, :3, :3], published, atol=1e-6)
    np.testing.assert_allclose(found[:, :3, 3], np.broadcast_to((0, 0, -2), (200, 3)), atol=1e-6)

    points = rng.uniform(-0.3, 0.3, (30, 3))
    x, y, z = np.moveaxis(
        cameras.differ_frame(points) @ np.swapaxes(found[:, :3, :3], 1, 2) + found[:, None, :3, 3],
        -1,
        0,
    )
    pixels, depth = cameras.project(points, extrinsic, cameras.intrinsics(64))
    np.testing.assert_allclose(depth, -z, atol=1e-6)
    np.testing.assert_allclose(pixels[..., 1], 120 * x / -z + 32, atol=1e-6)  # u is the row
    np.testing.assert_allclose(pixels[..., 0], 120 * y / -z + 32, atol=1e-6)
    np.testing.assert_allclose(cameras.differ_frame([1, 2, 3]), [-2, -3, 1])


def test_published_files_hold_blenders_camera():
    """A Blender camera turned by `quat` looks along -z with y up, at the origin from `pos`."""
    extrinsic = of_positions()
    published = cameras.to_blender(extrinsic)
    np.testing.assert_allclose(published["pos"], POSITIONS, atol=1e-8)
    np.testing.assert_allclose(
        published["extrinsic"][0, :3],
        [[0.6, 0.8, 0, 0], [0.4731, -0.3548, -0.8064, 0], [-0.6451, 0.4838, -0.5914, 2]],
        atol=1e-4,  # as recorded
    )
    turned = cameras.rotation(published["quat"])
    np.testing.assert_allclose(turned @ (0, 0, -1), -np.array(POSITIONS) / 2, atol=1e-8)
    assert ((turned @ (0, 1, 0))[:, 2] > 0).all()  # z is up
    np.testing.assert_allclose(cameras.from_blender(published["extrinsic"]), extrinsic, atol=1e-12)


@pytest.mark.parametrize(
    "axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, 0.8), (-0.6, 0.64, 0.48)]
)
@pytest.mark.parametrize("angle", [0, 1e-9, 1.0, np.pi - 1e-9, np.pi, 4.0])
def test_quaternions_of_every_angle_come_back(axis, angle):
    q = np.array([np.cos(angle / 2), *(np.sin(angle / 2) * np.array(axis))])
    found = cameras.quaternion(cameras.rotation(3 * q))
    assert found[0] >= 0
    np.testing.assert_allclose(abs(found @ q), 1, atol=1e-12)
    np.testing.assert_allclose(cameras.rotation(found), cameras.rotation(q), atol=1e-12)


def test_a_quaternion_turns_right_handed():
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        cameras.rotation([half, 0, 0, half]) @ (1, 0, 0), (0, 1, 0), atol=1e-12
    )
