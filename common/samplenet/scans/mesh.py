"""Vertices of meshes and models, all of them in the order of the file, none merged: .obj .off .stl .glb, read only.

OBJ and STL are read here, as trimesh leaves out, repeats or merges some of their vertices; .off and .glb by trimesh.
"""

import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns, text
from samplenet.scans.errors import Bad, needs
from samplenet.scans.scan import Scan, quiet

STL = np.dtype(
    [("normal", "<f4", 3), ("vertices", "<f4", (3, 3)), ("attribute", "<u2")]
)  # a triangle
COORDINATES = "only coordinates are read from {}"
NAMES = {
    1: ["w"],
    3: text.COLORS,
    4: ["w", *text.COLORS],
}  # of what follows x, y and z in OBJ, by number


def read_obj(path: Path) -> Scan:
    """Read the lines `v x y z`, with a weight or red, green and blue behind."""
    table = _lines(path.read_bytes(), b"v")
    others = NAMES.get(table.shape[1] - 3) or [f"column_{i}" for i in range(3, table.shape[1])]
    return Scan(columns.rows_of(dict(zip(["x", "y", "z", *others], table.T, strict=True))), "text")


def read_stl(path: Path) -> Scan:
    """Read three vertices of each triangle, of text or binary."""
    data = path.read_bytes()
    is_text = data[:80].lstrip().lower().startswith(b"solid")  # as some binary ones begin too
    triangles = int.from_bytes(data[80:84], "little")
    end = 84 + triangles * STL.itemsize
    if end == len(data) or end < len(data) and not is_text:
        vertices = np.frombuffer(data, STL, triangles, 84)["vertices"].reshape(-1, 3)
    elif is_text:
        vertices = _lines(data.lower(), b"vertex").astype(np.float32)
    else:
        held = max(len(data) - 84, 0) // STL.itemsize
        raise Bad(f"is no STL file, cut off or damaged: it holds {held} of {triangles} triangles")
    return Scan(
        columns.rows_of(dict(zip("xyz", vertices.T, strict=True))),
        "text",
        notes=(COORDINATES.format(".stl"),),
    )


def _lines(data: bytes, word: bytes) -> NDArray:
    """Read the numbers (N, 3 or more) of the lines that begin with a word."""
    lines = [line.split(b"#")[0].split(maxsplit=1) for line in data.splitlines()]
    numbers = [
        line[1] if len(line) == 2 and line[0] == word else b"" for line in lines
    ]  # "" keeps the line numbers
    if not any(numbers):
        raise Bad("has 0 points")
    table = text.parse(io.BytesIO(b"\n".join([*numbers, b""])))
    columns.check_axes("xyz"[: table.shape[1]])
    return table


def read(path: Path) -> Scan:
    """Read the vertices of .off, or those of .glb, moved as its scene moves them.

    Those of .glb come in the order of its meshes; a mesh that is shown several times is read several times.
    """
    try:
        import trimesh
    except ImportError as error:
        raise needs("trimesh") from error
    kind = path.suffix[1:].lower()
    if kind == "glb":
        _check_glb(path)
    with (
        open(path, "rb") as file,
        quiet("trimesh"),
    ):  # and not the path: a .glb file could name others to read
        scene = trimesh.load_scene(file, file_type=kind, process=False)
    meshes = {name: i for i, name in enumerate(scene.geometry)}
    shown = [
        scene.graph[node] for node in reversed(scene.graph.nodes_geometry)
    ]  # trimesh begins at the last
    parts = []
    for matrix, name in sorted(shown, key=lambda pair: meshes[pair[1]]):
        vertices = np.asarray(scene.geometry[name].vertices)
        parts.append(
            vertices
            if np.array_equal(matrix, np.eye(4))
            else vertices @ matrix[:3, :3].T + matrix[:3, 3]
        )
    if not sum(map(len, parts)):
        raise Bad("has no vertices that can be read: it is damaged, or empty")
    x, y, z = np.concatenate(parts).T
    rows = columns.rows_of({"x": x, "y": y, "z": z})
    return Scan(rows, "text", notes=(COORDINATES.format(path.suffix),))


def _check_glb(path: Path) -> None:
    """Raise Bad for vertices that trimesh does not find in the file, and would take for zeros."""
    with open(path, "rb") as file:
        head = file.read(20)
        if head[:4] != b"glTF":
            raise Bad("is no .glb file: it does not begin with 'glTF'")
        tree = json.loads(file.read(int.from_bytes(head[12:16], "little")))
    if any("sparse" in accessor for accessor in tree.get("accessors", [])):
        raise Bad("has sparse accessors, which are not read; save it without them")
    packed = [
        name for name in tree.get("extensionsUsed", []) if "draco" in name or "meshopt" in name
    ]
    if packed:
        raise Bad(f"is compressed ({packed[0]}); save it without compression")
    if any(
        "uri" in buffer and not buffer["uri"].startswith("data:")
        for buffer in tree.get("buffers", [])
    ):
        raise Bad("has its vertices in another file; save all in one")
