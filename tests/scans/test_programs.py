"""Other programs read the files: Open3D, PCL, plyfile and meshio, each if it is installed."""

import shutil
import subprocess

import numpy as np
import pytest

from samplenet import scans

SOURCES = [".ply", ".pcd", ".npz", ".las"]


@pytest.fixture(params=SOURCES)
def scan(request, tmp_path, rows):
    """Return a cloud that was read from each format."""
    if request.param == ".las":
        pytest.importorskip("laspy", reason=".las needs laspy")
    scans.write(tmp_path / f"source{request.param}", scans.Scan(rows))
    return scans.read(tmp_path / f"source{request.param}")


@pytest.mark.parametrize("name", ["a.ply", "a.pcd"])
def test_open3d(tmp_path, rows, scan, name):
    open3d = pytest.importorskip("open3d", reason="reads results back: needs the extra icp")
    scans.write(tmp_path / name, scan)
    cloud = open3d.io.read_point_cloud(str(tmp_path / name))
    np.testing.assert_allclose(cloud.points, scan.points, atol=1e-5)
    np.testing.assert_array_equal(np.rint(np.asarray(cloud.colors) * 255), scan.colors)
    np.testing.assert_array_equal(
        cloud.normals, np.stack([rows[name] for name in ("nx", "ny", "nz")], 1)
    )
    cloud = open3d.t.io.read_point_cloud(str(tmp_path / name))
    np.testing.assert_array_equal(cloud.point.intensity.numpy()[:, 0], rows["intensity"])


@pytest.mark.parametrize(
    "tool, name, out", [("pcl_pcd2ply", "a.pcd", "b.ply"), ("pcl_ply2pcd", "a.ply", "b.pcd")]
)
def test_pcl(tmp_path, rows, scan, tool, name, out):
    if not shutil.which(tool):
        pytest.skip(f"reads results back: needs {tool} of Debian's pcl-tools")
    scans.write(tmp_path / name, scan)
    command = [tool, "-format", "1", name, out]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (
        "normal_x normal_y normal_z" in done.stdout
        and " rgb" in done.stdout
        and " intensity" in done.stdout
    )
    assert "XYZ dimensions are not" not in done.stderr
    again = scans.read(tmp_path / out)
    np.testing.assert_allclose(again.points, scan.points, atol=1e-5)
    np.testing.assert_array_equal(again.colors, scan.colors)


def test_plyfile_and_meshio(tmp_path, rows, scan):
    scans.write(tmp_path / "a.ply", scan)
    expected = scans.read(tmp_path / "a.ply").rows
    plyfile = pytest.importorskip("plyfile", reason="reads results back: needs plyfile")
    vertices = plyfile.PlyData.read(str(tmp_path / "a.ply"))["vertex"].data
    assert vertices.dtype == expected.dtype and vertices.tobytes() == expected.tobytes()
    meshio = pytest.importorskip("meshio", reason="reads results back: needs meshio")
    mesh = meshio.read(tmp_path / "a.ply")
    np.testing.assert_array_equal(mesh.points, np.stack([expected[axis] for axis in "xyz"], 1))
    assert all((mesh.point_data[name] == expected[name]).all() for name in expected.dtype.names[3:])
