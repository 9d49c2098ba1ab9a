"""Where meshes come from: the built-in shapes, and folders of OBJ files."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet.data import shapes
from samplenet.data.shapes.mesh import sample_faces
from samplenet.errors import InputError, needs_extra


class Truth(NamedTuple):
    """Points of a model's surface: the ground truth.

    Attributes:
        points: (M, 3) float32 in the object frame.
        colors: (M, 3) float32 in [0, 1]; None if unknown.
        labels: (M,) uint8, 1 more than the part, as in `labels_k.png`; None if unknown.
    """

    points: NDArray[np.float32]
    colors: NDArray[np.float32] | None = None
    labels: NDArray[np.uint8] | None = None

    def some_points(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw points (count, 3), each at most once unless there are fewer."""
        few = len(self.points) < count
        return self.points[rng.choice(len(self.points), count, replace=few)]


@dataclass(frozen=True)
class Surface:
    """Loose triangles, each of a colour and of a part.

    Attributes:
        triangles: (F, 3, 3) corners, y up.
        colors: (F, 3) in [0, 1].
        parts: (F,) whole numbers from 0; all 0 where the parts are not known.
    """

    triangles: NDArray[np.float64]
    colors: NDArray[np.float64]
    parts: NDArray[np.int64]

    @cached_property
    def normals(self) -> NDArray[np.float64]:
        """Unit vectors (F, 3); 0 of triangles without area."""
        edges = self.triangles[:, 1:] - self.triangles[:, :1]
        normal = np.cross(edges[:, 0], edges[:, 1])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        return np.divide(normal, length, where=length > 0, out=np.zeros_like(normal))

    def fitted(self) -> "Surface":
        """Return it with the centre of its box at the origin and the box's diagonal 1."""
        low, high = self.triangles.min((0, 1)), self.triangles.max((0, 1))
        diagonal = np.linalg.norm(high - low)
        return replace(self, triangles=(self.triangles - (low + high) / 2) / diagonal)

    def cloud(self, num_points: int, rng: np.random.Generator) -> Truth:
        """Draw points (num_points, 3) uniformly by area, with the colours of no light."""
        points, face = sample_faces(self.triangles, num_points, rng)
        colors, labels = self.colors[face], self.parts[face] + 1
        return Truth(points.astype(np.float32), colors.astype(np.float32), labels.astype(np.uint8))


def stream(seed: int, synset: str, model: str, use: int) -> np.random.Generator:
    """Return a model's random generator for one use: it depends on this key and no earlier call."""
    return np.random.default_rng([seed, zlib.crc32(f"{synset}/{model}".encode()), use])


@dataclass(frozen=True)
class BuiltIn:
    """The shapes of `samplenet.data.shapes`, not turned, `fitted`; the class is the synset.

    The colour of each part of each shape is drawn by itself, so it tells neither class nor part.
    """

    classes: Sequence[str]
    per_class: int
    seed: int = 0

    has_parts = True

    def models(self) -> dict[str, list[str]]:
        """List the names of the models by synset."""
        if self.per_class < 1:
            raise InputError(f"shapes per class must be at least 1, got {self.per_class}")
        for name in self.classes:
            if name not in shapes.CLASSES:
                raise InputError(f"classes must be of {', '.join(shapes.CLASSES)}; got {name!r}")
        return {
            name: [f"{name}_{index:04d}" for index in range(self.per_class)]
            for name in self.classes
        }

    def settings(self) -> dict:
        """Return what the meshes depend on, beside the seed."""
        return {"meshes": "builtin", "shapes_per_class": self.per_class}

    def surface(self, synset: str, model: str) -> Surface:
        """Build a shape; InputError if it is not one of `models`."""
        if not re.fullmatch(rf"{synset}_[0-9]{{4,}}", model):
            raise InputError(
                f"{synset}/{model} is no built-in shape: their names are {synset}_0012"
            )
        triangles, parts = shapes.mesh_in_parts(synset, int(model.rpartition("_")[2]), self.seed)
        rng = stream(self.seed, synset, model, use=0)
        colors = rng.uniform(0.1, 0.9, (len(shapes.PARTS[synset]), 3))
        return Surface(triangles, colors[parts], parts).fitted()


@dataclass(frozen=True)
class ObjFolder:
    """Meshes `<root>/<synset>/<model>/model.obj`, in the colours of their materials.

    Args:
        synsets: to read; all folders if empty.
        fit: whether to move and scale each mesh as `Surface.fitted`.
    """

    root: Path
    synsets: Sequence[str] = ()
    fit: bool = False

    has_parts = False

    def models(self) -> dict[str, list[str]]:
        """List the names of the models by synset; models of folders whose OBJ file is missing too.

        Raises:
            InputError: no folder, or none for a synset.
        """
        if not self.root.is_dir():
            raise InputError(f"{self.root} is not a folder: name one of <synset>/<model>/model.obj")
        synsets = self.synsets or _folders(self.root)
        found = {synset: _folders(self.root / synset) for synset in synsets}
        for synset, models in found.items():
            if not models:
                raise InputError(f"{self.root / synset} holds no folder of a model")
        if not found:
            raise InputError(f"{self.root} is empty: name a folder of <synset>/<model>/model.obj")
        return found

    def settings(self) -> dict:
        """Return what the meshes depend on, beside their files."""
        return {"meshes": str(self.root.resolve()), "fit": self.fit}

    def surface(self, synset: str, model: str) -> Surface:
        """Read a mesh; InputError if it is missing, damaged, or far larger than a picture."""
        path = self.root / synset / model / "model.obj"
        if not path.is_file():
            raise InputError(f"{path} is missing")
        surface = read_obj(path)
        if self.fit:
            return surface.fitted()
        radius = np.linalg.norm(surface.triangles, axis=-1).max()
        if radius > 1:
            raise InputError(
                f"{path} reaches {radius:.3g} from the origin, more than 1: scale it, or use --fit"
            )
        return surface


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(p.name for p in root.iterdir() if p.is_dir() and p.name[0] != ".")


def read_obj(path: Path) -> Surface:
    """Read the triangles of an OBJ file, in the colours of its materials and their pictures.

    Raises:
        InputError: damaged, or without triangles.
    """
    with needs_extra("render"):
        import trimesh
    try:
        meshes = [*trimesh.load_scene(path, process=False).geometry.values()]
        meshes = [mesh for mesh in meshes if len(getattr(mesh, "faces", ()))]
        triangles = [np.asarray(mesh.triangles, float) for mesh in meshes]
        colors = [_colors(mesh) for mesh in meshes]
    except Exception as error:  # trimesh raises whatever a damaged file leads to
        raise InputError(f"{path} cannot be read: {type(error).__name__} {error}") from error
    if not triangles:
        raise InputError(f"{path} has no triangles")
    triangles, colors = np.concatenate(triangles), np.concatenate(colors)
    if not np.isfinite(triangles).all():
        raise InputError(f"{path} has coordinates that are not finite")
    surface = Surface(triangles, colors, np.zeros(len(triangles), int))
    if not surface.normals.any():
        raise InputError(f"{path} has only triangles without area")
    return surface


def _colors(mesh) -> NDArray[np.float64]:
    """Return the colour of each face (F, 3): its material's, or the mean of its corners'."""
    visual = mesh.visual
    material = getattr(visual, "material", None)
    if material is None:
        corners = visual.vertex_colors
    elif getattr(material, "image", None) is not None and visual.uv is not None:
        corners = material.to_color(visual.uv)
    else:
        corners = np.tile(material.main_color, (len(mesh.vertices), 1))
    return np.asarray(corners, float)[mesh.faces, :3].mean(1) / 255
