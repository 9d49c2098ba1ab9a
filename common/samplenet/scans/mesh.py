"""Vertices of meshes and models, all of them in the order of the file, none merged: .obj .off .stl .glb, read only.

OBJ is read here, as trimesh leaves out and repeats vertices of it; the others by trimesh, which gives coordinates only.
"""

import io
from pathlib import Path

import numpy as np

from samplenet.scans import columns, text
from samplenet.scans.errors import Bad, needs
from samplenet.scans.scan import Scan

NAMES = {1: ["w"], 3: text.COLORS, 4: ["w", *text.COLORS]}  # of what follows x, y and z in OBJ, by number


def read_obj(path: Path) -> Scan:
    """Read the lines `v x y z`, with a weight or red, green and blue behind."""
    lines = [line.split(b"#")[0].strip() for line in path.read_bytes().splitlines()]
    vertices = [line[1:] if line[:2] in (b"v ", b"v\t") else b"" for line in lines]  # empty ones keep the line numbers
    if not any(vertices):
        raise Bad("has 0 points")
    table = text.parse(io.BytesIO(b"\n".join(vertices)))
    columns.check_axes("xyz"[: table.shape[1]])
    others = NAMES.get(table.shape[1] - 3) or [f"column_{i}" for i in range(3, table.shape[1])]
    return Scan(columns.rows_of(dict(zip(["x", "y", "z", *others], table.T, strict=True))), "text")


def read(path: Path) -> Scan:
    """Read the vertices of .off, three for each triangle of .stl, or those of .glb, moved as its scene moves them.

    Those of .glb come in the order of its meshes; a mesh that is shown several times is read several times.
    """
    try:
        import trimesh
    except ImportError as error:
        raise needs("trimesh") from error
    with open(path, "rb") as file:  # and not the path: a .glb file could name others to read
        scene = trimesh.load_scene(file, file_type=path.suffix[1:].lower(), process=False)
    meshes = {name: i for i, name in enumerate(scene.geometry)}
    shown = [scene.graph[node] for node in reversed(scene.graph.nodes_geometry)]  # trimesh begins at the last
    parts = []
    for matrix, name in sorted(shown, key=lambda pair: meshes[pair[1]]):
        vertices = np.asarray(scene.geometry[name].vertices)
        parts.append(vertices if np.array_equal(matrix, np.eye(4)) else vertices @ matrix[:3, :3].T + matrix[:3, 3])
    if not sum(map(len, parts)):
        raise Bad("has no vertices that can be read: it is damaged, or empty")
    x, y, z = np.concatenate(parts).T
    rows = columns.rows_of({"x": x, "y": y, "z": z})
    return Scan(rows, "text", notes=(f"of {path.suffix} coordinates alone are read",))
