"""Vertices of meshes: all of them, in the order of the file."""

import numpy as np
import pytest

from samplenet import InputError, scans


def test_obj_gives_every_vertex_as_often_as_it_is_written(tmp_path):
    (tmp_path / "a.obj").write_text(
        "mtllib none.mtl\nv 1 2 3 1 0 0 # red\n v 4 5 6 0 0 0.5\nv 1 2 3 1 0 0\nv 7 8 9 0 0 0\n"
        "vt 0 0\nvn 0 0 1\n"
        "usemtl a\nf 1/1/1 2/1/1 3/1/1\nusemtl b\nf 2 3 1\n"
    )
    scan = scans.read(tmp_path / "a.obj")
    assert scan.points.tolist() == [[1, 2, 3], [4, 5, 6], [1, 2, 3], [7, 8, 9]]
    assert scan.colors.tolist()[:2] == [[255, 0, 0], [0, 0, 128]]
    with pytest.raises(InputError, match="its extension must be one of .ply"):
        scans.write(tmp_path / "b.obj", scan)


def test_off(tmp_path):
    pytest.importorskip("trimesh", reason=".off needs trimesh")
    (tmp_path / "a.off").write_text("OFF # a mesh\n4 1 0\n1 2 3\n4 5 6\n1 2 3\n7 8 9\n3 0 1 2\n")
    assert scans.read(tmp_path / "a.off").points.tolist() == [
        [1, 2, 3],
        [4, 5, 6],
        [1, 2, 3],
        [7, 8, 9],
    ]


def test_stl_gives_three_points_a_triangle_of_every_solid(tmp_path):
    triangles = np.arange(18, dtype="<f4").reshape(2, 3, 3)
    triangles[1, 0] = triangles[0, 2]
    facets = "".join(
        "facet normal 0 0 1\nouter loop\n"
        + "".join(f"vertex {x} {y} {z}\n" for x, y, z in facet)
        + "endloop\nendfacet\n"
        for facet in triangles
    )
    (tmp_path / "a.stl").write_text(f"solid a\n{facets}endsolid a\nsolid b\n{facets}endsolid b\n")
    (tmp_path / "capitals.stl").write_text((tmp_path / "a.stl").read_text().upper())
    rows = np.zeros(2, [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    rows["corners"] = triangles
    (tmp_path / "b.stl").write_bytes(bytes(80) + np.array(2, "<u4").tobytes() + rows.tobytes())
    for name in ("a.stl", "capitals.stl", "b.stl"):
        scan = scans.read(tmp_path / name)
        twice = [triangles, triangles] if name != "b.stl" else [triangles]
        np.testing.assert_array_equal(scan.points, np.concatenate(twice).reshape(-1, 3))
        assert scan.notes == ("only coordinates are read from .stl",)
    (tmp_path / "cut.stl").write_bytes((tmp_path / "b.stl").read_bytes()[:-1])
    with pytest.raises(InputError, match="is not an STL file.*: it holds 1 of 2 triangles"):
        scans.read(tmp_path / "cut.stl")


def test_glb_gives_the_nodes_of_its_scene_where_they_stand(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason=".glb needs trimesh")
    scene = trimesh.Scene()
    meshes = [
        trimesh.Trimesh(np.arange(9.0).reshape(3, 3) + i, [[0, 1, 2]], process=False)
        for i in range(4)
    ]
    for i, mesh in enumerate(meshes):
        matrix = np.eye(4)
        matrix[0, 3] = 100 * i
        scene.add_geometry(mesh, node_name=f"node {i}", transform=matrix)
    (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb"))
    content = (tmp_path / "a.glb").read_bytes()
    expected = np.concatenate([mesh.vertices + [100 * i, 0, 0] for i, mesh in enumerate(meshes)])
    np.testing.assert_allclose(scans.read(tmp_path / "a.glb").points, expected)
    for tree, words in (
        (
            b'{"extensionsUsed": ["KHR_draco_mesh_compression"]}',
            r"is compressed \(KHR_draco_mesh_compression\)",
        ),
        (b'{"accessors": [{"sparse": {}}]}', "has sparse accessors, which are not read"),
    ):
        (tmp_path / "b.glb").write_bytes(
            content[:12] + len(tree).to_bytes(4, "little") + b"JSON" + tree
        )
        with pytest.raises(InputError, match=f"b.glb {words}"):
            scans.read(tmp_path / "b.glb")
