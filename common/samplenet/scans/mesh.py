"""Vertices of meshes: .obj .off .stl .glb, read only.

All vertices in the order of the file, none merged. OBJ and STL are read here, as trimesh leaves
out, repeats or merges some of their vertices; .off and .glb by trimesh.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns, text
from samplenet.scans.errors import Bad, needs
from samplenet.scans.scan import Scan, quiet

TRIANGLE = np.dtype([("normal", "<f4", 3), ("vertices", "<f4", (3, 3)), ("attribute", "<u2")])
NAMES = {1: ["w"], 3: text.COLORS, 4: ["w", *text.COLORS]}  # after x, y and z in OBJ, by number


def read_obj(path: Path) -> Scan:
    """Read the lines `v x y z`, with a weight or red, green and blue at the end."""
    table = _lines(path.read_bytes(), b"v")
    others = NAMES.get(table.shape[1] - 3) or [f"column_{i}" for i in range(3, table.shape[1])]
    return Scan(columns.rows_of(dict(zip(["x", "y", "z", *others], table.T, strict=True))), "text")


def read_stl(path: Path) -> Scan:
    """Read three vertices of each triangle, from text or binary."""
    data = path.read_bytes()
    is_text = data[:80].lstrip().lower().startswith(b"solid")  # as some binary ones begin too
    triangles = int.from_bytes(data[80:84], "little")
    end = 84 + triangles * TRIANGLE.itemsize
    if end == len(data) or end < len(data) and not is_text:
        vertices = np.frombuffer(data, TRIANGLE, triangles, 84)["vertices"].reshape(-1, 3)
    elif is_text:
        vertices = _lines(data.lower(), b"vertex").astype(np.float32)
    else:
        held = f"it holds {max(len(data) - 84, 0) // TRIANGLE.itemsize} of {triangles} triangles"
        raise Bad(f"is not an STL file, cut off or damaged: {held}")
    return _coordinates(vertices, ".stl")


def _coordinates(vertices: NDArray, extension: str) -> Scan:
    rows = columns.rows_of(dict(zip("xyz", vertices.T, strict=True)))
    return Scan(rows, "text", notes=(f"only coordinates are read from {extension}",))


def _lines(data: bytes, word: bytes) -> NDArray:
    """Read the numbers (N, 3 or more) of the lines that begin with a word."""
    numbers = []
    for line in data.splitlines():
        first, *rest = line.split(b"#")[0].split(maxsplit=1) or [b""]
        numbers.append(b"".join(rest) if first == word else b"")  # b"" keeps the line numbers
    if not any(numbers):
        raise Bad("has 0 points")
    table = text.parse(b"\n".join([*numbers, b""]))
    columns.check_axes("xyz"[: table.shape[1]])
    return table


def read(path: Path) -> Scan:
    """Read the vertices of .off, or those of .glb, moved as its scene moves them.

    The vertices of .glb come in the order of its meshes; a mesh that is shown several times is read
    several times.
    """
    try:
        import trimesh
    except ImportError as error:
        raise needs("trimesh") from error
    kind = path.suffix[1:].lower()
    if kind == "glb":
        _check_glb(path)
    # opened here: given the path, trimesh would open other files that a .glb file names
    with open(path, "rb") as file, quiet("trimesh"):
        scene = trimesh.load_scene(file, file_type=kind, process=False)
    meshes = list(scene.geometry)
    # trimesh lists the nodes from the last one
    shown = [scene.graph[node] for node in reversed(scene.graph.nodes_geometry)]
    parts = [np.empty((0, 3))]
    for matrix, name in sorted(shown, key=lambda pair: meshes.index(pair[1])):
        vertices = np.asarray(scene.geometry[name].vertices)
        if not np.array_equal(matrix, np.eye(4)):
            vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        parts.append(vertices)
    points = np.concatenate(parts)
    if not len(points):
        raise Bad("has no vertices that can be read: it is damaged, or empty")
    return _coordinates(points, path.suffix)


def _check_glb(path: Path) -> None:
    """Raise Bad for vertices that are not in the file; trimesh would read zeros in their place."""
    with open(path, "rb") as file:
        head = file.read(20)
        if head[:4] != b"glTF":
            raise Bad("is not a .glb file: it does not begin with 'glTF'")
        tree = json.loads(file.read(int.from_bytes(head[12:16], "little")))
    if any("sparse" in accessor for accessor in tree.get("accessors", [])):
        raise Bad("has sparse accessors, which are not read; save it without them")
    for name in tree.get("extensionsUsed", []):
        if "draco" in name or "meshopt" in name:
            raise Bad(f"is compressed ({name}); save it without compression")
    uris = [buffer["uri"] for buffer in tree.get("buffers", []) if "uri" in buffer]
    if not all(uri.startswith("data:") for uri in uris):
        raise Bad("has its vertices in another file; save all in one")
