"""Write point clouds with other people's libraries and programs.

python make.py FOLDER, in the environment of requirements.txt. FOLDER/manifest.json lists the files:
`writer`, `clause` (what is tried), `refuse` (True if nothing can be sampled, "may" if a reader may
sample or refuse) and `out` (extension to sample into). An .npz beside a file holds the columns that
its writer stored; without it judge.py reads the file with a library of its format. Coordinates are
multiples of 1/64, so that each format and text stores the same numbers.
"""
# ruff: noqa: B023, E501  (each lambda is called at once; a line a file)

import gzip
import json
import shutil
import struct
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

import copclib
import laspy
import meshio
import numpy as np
import open3d
import pandas
import plyfile
import point_cloud_utils
import pymeshlab
import pypcd4
import trimesh

FOLDER = Path(sys.argv[1]).resolve()
# those that `samplenet sample` writes
FORMATS = (".ply", ".pcd", ".las", ".laz", ".npy", ".npz", ".xyz", ".txt")
MANIFEST, NOT_MADE = [], []
RANDOM, N = np.random.default_rng(0), 60
XYZ = np.unique(RANDOM.integers(-500, 500, (N, 3)), axis=0) / 64
RGB = RANDOM.integers(0, 256, (N, 3), np.uint8)
NORMALS = np.eye(3)[RANDOM.integers(0, 3, N)] * RANDOM.choice([-1, 1], (N, 1))
INTENSITY, LABEL = RANDOM.integers(0, 1000, N) / 4, RANDOM.integers(0, 40, N)
ROUGH = RANDOM.standard_normal((N, 3))
UTM, FACES = XYZ + [448000.125, 5411000.375, 290], np.arange(N).reshape(-1, 3)
NAN = np.where(RANDOM.random((N, 1)) < 0.3, np.nan, XYZ)


def columns(xyz=XYZ, rgb=None, normals=None, **more):
    """Return columns under the names that PLY gives them."""
    named = dict(zip("xyz", np.asarray(xyz).T, strict=True))
    if rgb is not None:
        named |= dict(zip(("red", "green", "blue"), np.asarray(rgb).T, strict=True))
    if normals is not None:
        named |= dict(zip(("nx", "ny", "nz"), normals.T, strict=True))
    return named | more


RICH = columns(rgb=RGB, normals=NORMALS, intensity=INTENSITY)


def records(named, **types):
    """Join columns to a structured array: colours uchar, others float or as `types` says."""
    kinds = [(n, types.get(n, "u1" if n in ("red", "green", "blue") else "f4")) for n in named]
    array = np.zeros(len(named["x"]), kinds)
    for name, values in named.items():
        array[name] = values
    return array


def vertices(path):
    """Read the columns of an obj, off or stl file: the numbers that its writer wrote."""
    data = path.read_bytes()
    if path.suffix == ".stl" and len(data) == 84 + 50 * int.from_bytes(data[80:84], "little"):
        triangles = np.frombuffer(
            data[84:], [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("more", "<u2")]
        )
        return columns(triangles["corners"].reshape(-1, 3))
    lines = [line.split() for line in data.decode("latin-1").lower().splitlines() if line.strip()]
    if path.suffix == ".off":
        start = len(lines[0]) == 1
        rows = lines[start + 1 : start + 1 + int(lines[start][0])]
        return columns(np.array([line[:3] for line in rows], float))
    return columns(np.array([line[1:4] for line in lines if line[0] in ("v", "vertex")], float))


def add_file(writer, name, clause, write, holds=None, refuse=False, out=None):
    """Let `write(path)` write a file, and list it: in the manifest, or as not made if that fails."""
    path = FOLDER / f"{len(MANIFEST):03}" / name
    path.parent.mkdir()
    try:
        write(path)
        path.stat()
        if holds is not None:
            np.savez(path.parent / "holds.npz", **(holds(path) if callable(holds) else holds))
    except Exception as error:  # a program is missing, or a function of this library's version
        shutil.rmtree(path.parent)
        NOT_MADE.append(f"not made: {name} by {writer}: {type(error).__name__}")
        return
    out = out or (path.suffix.lower() if path.suffix.lower() in FORMATS else ".ply")
    about = {"writer": writer, "clause": clause, "refuse": refuse, "out": out}
    MANIFEST.append({"file": str(path.relative_to(FOLDER))} | about)


def run(*command):
    """Run a program that Debian ships."""
    environment = {"QT_QPA_PLATFORM": "offscreen", "PATH": "/usr/bin:/bin", "HOME": str(FOLDER)}
    subprocess.run(
        [str(word) for word in command],
        check=True,
        capture_output=True,
        timeout=120,
        env=environment,
    )


def open3d_cloud(xyz=XYZ, with_=""):
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(xyz))
    if "colours" in with_:
        cloud.colors = open3d.utility.Vector3dVector(RGB / 255)
    if "normals" in with_:
        cloud.normals = open3d.utility.Vector3dVector(NORMALS)
    return cloud


def open3d_files():
    add = partial(add_file, f"Open3D {open3d.__version__}")

    def save(cloud, **options):
        return lambda p: open3d.io.write_point_cloud(str(p), cloud, **options)

    for style, options in {
        "ascii": {"write_ascii": True},
        "binary": {},
        "compressed": {"compressed": True},
    }.items():
        for with_ in ("", "-colours", "-normals", "-colours-normals"):
            for suffix in ("pcd",) if style == "compressed" else ("pcd", "ply"):
                add(
                    f"{style}{with_}.{suffix}",
                    f"7 {style} {suffix}",
                    save(open3d_cloud(with_=with_), **options),
                )
        add(f"nan-{style}.pcd", "5 not-finite points", save(open3d_cloud(NAN), **options))
    add("rough.ply", "double coordinates", save(open3d_cloud(ROUGH)))
    add("utm.pcd", "UTM coordinates in float32", save(open3d_cloud(UTM)))
    depth = open3d.geometry.Image(
        np.where(RANDOM.random((12, 16)) < 0.5, 0, 1.5).astype(np.float32)
    )
    camera = open3d.camera.PinholeCameraIntrinsic(16, 12, 10, 10, 8, 6)
    options = {"depth_scale": 1.0, "project_valid_depth_only": False}
    organised = open3d.geometry.PointCloud.create_from_depth_image(depth, camera, **options)
    for name in ("depth.ply", "depth-ascii.ply", "depth.pcd", "depth-ascii.pcd", "depth.xyz"):
        add(name, "5 depth camera", save(organised, write_ascii="ascii" in name))
    texts = {
        "xyz": {},
        "xyzn": {"normals": NORMALS},
        "xyzrgb": {"rgb": RGB / 255},
        "pts": {"rgb": RGB},
    }
    for suffix, holds in texts.items():
        add(
            f"cloud.{suffix}",
            f"7 {suffix}",
            save(open3d_cloud(with_="colours normals")),
            columns(**holds),
        )
    tensor = open3d.t.geometry.PointCloud(XYZ)
    tensor.point["labels"], tensor.point["intensities"] = (
        LABEL[:, None].astype("i4"),
        INTENSITY[:, None].astype("f4"),
    )
    for name in ("tensor.ply", "tensor-ascii.ply", "tensor.pcd", "tensor-ascii.pcd", "tensor.npz"):
        holds = columns(labels=LABEL, intensities=INTENSITY) if name.endswith("npz") else None
        ascii_ = "ascii" in name
        add(
            name,
            "labels",
            lambda p: open3d.t.io.write_point_cloud(str(p), tensor, write_ascii=ascii_),
            holds,
        )
    mesh = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(XYZ), open3d.utility.Vector3iVector(FACES)
    )
    mesh.compute_vertex_normals()
    for suffix in ("ply", "obj", "stl", "off", "glb", "gltf"):
        holds, refuse = (
            {"ply": None, "gltf": None, "glb": columns()}.get(suffix, vertices),
            suffix == "gltf",
        )
        add(
            f"mesh.{suffix}",
            f"7 {suffix}",
            lambda p: open3d.io.write_triangle_mesh(str(p), mesh),
            holds,
            refuse,
        )


def plyfile_files():
    add, describe = partial(add_file, "plyfile 1.1.5"), plyfile.PlyElement.describe
    rich = columns(rgb=RGB, label=LABEL, score=ROUGH[:, 0])
    vertex = describe(records(rich, label="i4", score="f8"), "vertex")
    face = describe(np.array([(list(f),) for f in FACES], [("vertex_indices", "O")]), "face")
    camera = describe(np.zeros(1, [(n, "f4") for n in ("view_px", "view_py", "view_pz")]), "camera")
    types = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")
    every = records(
        columns(UTM) | dict.fromkeys(types, LABEL), x="f8", y="f8", z="f8", **{t: t for t in types}
    )
    neighbours = [RANDOM.integers(0, N, n % 4).astype("i4") for n in range(N)]
    listed = records(columns(neighbours=neighbours), neighbours="O")
    elements = {
        "plain": [vertex], "faces-after": [vertex, face], "faces-before": [face, vertex], "camera-before": [camera, vertex, face],
        "comments": [vertex], "every-type": [describe(every, "vertex")], "vertex-list": [describe(listed, "vertex")],
        "nan": [describe(records(columns(NAN)), "vertex")], "bytes-after": [vertex], "latin": [vertex], "big-endian": [vertex, face],
        "crlf": [vertex],
    }  # fmt: skip

    def save(name, text):
        comments = {"comments": ["TextureFile wood.png", "XXX"], "obj_info": ["num_cols 12"]}
        comments = comments if name in ("comments", "latin") else {}
        order = ">" if name == "big-endian" else "="
        file = plyfile.PlyData(elements[name], text=text, byte_order=order, **comments)
        mend = {"latin": (b"XXX", "Gerät".encode("latin-1")), "crlf": (b"\n", b"\r\n")}.get(
            name, (b"", b"")
        )
        end = b"\nmore\n" if name == "bytes-after" else b""

        def write(path):
            file.write(path)
            path.write_bytes(
                (path.read_bytes().replace(*mend) if mend[0] else path.read_bytes()) + end
            )

        return write

    for name in elements:
        for how in ("text", "binary"):
            if (name, how) not in (("crlf", "binary"), ("big-endian", "text")):
                add(f"{name}-{how}.ply", f"5, 7, 9 {name}", save(name, how == "text"))
    single = describe(records(columns(XYZ[:1])), "vertex")
    shuffled = {name: rich[name] for name in ("score", "red", "z", "green", "y", "blue", "x")}
    floats = describe(records(shuffled, red="f4", green="f4", blue="f4"), "vertex")
    add("single.ply", "one point", plyfile.PlyData([single]).write)
    add(
        "shuffled.ply",
        "properties in another order, float colours",
        plyfile.PlyData([floats]).write,
    )
    add("faces-only.ply", "no vertices", plyfile.PlyData([face]).write, refuse=True)
    flat = describe(np.zeros(9, [("x", "f4"), ("y", "f4")]), "vertex")
    add("flat.ply", "no z", plyfile.PlyData([flat]).write, refuse=True)
    plyfile.PlyData([vertex]).write(FOLDER / "gz.ply")
    packed = gzip.compress((FOLDER / "gz.ply").read_bytes())
    add("cloud.ply.gz", "7 gz of ply", lambda p: p.write_bytes(packed), rich)


def mesh_library_files():
    add, kinds = partial(add_file, f"meshio {meshio.__version__}"), {"triangle": FACES}
    data = {
        "nx": NORMALS[:, 0],
        "label": LABEL,
        "small": LABEL.astype("u1"),
        "value": INTENSITY.astype("f4"),
    }
    for binary, how in ((True, "binary"), (False, "ascii")):
        mesh, points = (
            meshio.Mesh(XYZ, kinds, point_data=data),
            meshio.Mesh(XYZ, {"vertex": np.arange(N)[:, None]}),
        )
        add(
            f"mesh-{how}.ply",
            "9 types of meshio",
            lambda p: mesh.write(p, binary=binary),
            columns(**data),
        )
        add(f"points-{how}.ply", "points alone", lambda p: points.write(p, binary=binary))
    for suffix in ("obj", "stl", "off"):
        add(f"mesh.{suffix}", f"7 {suffix}", meshio.Mesh(XYZ, kinds).write, columns())
    add = partial(add_file, f"trimesh {trimesh.__version__}")
    mesh, cloud = (
        trimesh.Trimesh(XYZ, FACES, process=False, vertex_colors=RGB),
        trimesh.PointCloud(XYZ, RGB),
    )
    for style in ("binary", "ascii"):
        add(f"mesh-{style}.ply", "mesh with colours", lambda p: mesh.export(p, encoding=style))
        add(f"cloud-{style}.ply", "points with colours", lambda p: cloud.export(p, encoding=style))
    for suffix in ("obj", "stl", "off", "glb"):
        add(f"mesh.{suffix}", f"7 {suffix}", mesh.export, columns())
    binary = mesh.export(file_type="stl")
    add(
        "solid.stl",
        "7 binary that begins with solid",
        lambda p: p.write_bytes(b"solid" + binary[5:]),
        vertices,
    )
    add("ascii.stl", "7 stl as text", lambda p: mesh.export(p, file_type="stl_ascii"), columns())
    for suffix in ("xyz", "glb", "obj"):
        add(f"cloud.{suffix}", f"7 {suffix} of points alone", cloud.export, columns())
    twice = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]] * 2, [[0, 1, 2], [4, 6, 7]], process=False
    )
    for suffix in ("obj", "off", "glb"):
        add(
            f"unmerged.{suffix}",
            "7 vertices that coincide stay two",
            twice.export,
            columns(twice.vertices),
        )
    add = partial(add_file, "MeshLab (pymeshlab 2025.7)")
    parts = {"vertex_matrix": XYZ, "v_normals_matrix": NORMALS, "v_scalar_array": INTENSITY}
    for name, more in {"cloud": {}, "mesh": {"face_matrix": FACES}}.items():
        meshes = pymeshlab.MeshSet()
        meshes.add_mesh(
            pymeshlab.Mesh(**parts, **more, v_color_matrix=np.hstack([RGB / 255, np.ones((N, 1))]))
        )
        meshes.current_mesh().add_vertex_custom_scalar_attribute(INTENSITY, "mine")
        for suffix in ("ply", "obj", "off", "xyz", "stl")[: 5 if more else 4]:
            holds = None if suffix == "ply" else columns()
            add(
                f"{name}.{suffix}", f"7 {suffix}", lambda p: meshes.save_current_mesh(str(p)), holds
            )
        for binary, how in ((False, "ascii"), (True, "binary")):
            options = {"binary": binary, "save_vertex_quality": True}
            add(
                f"{name}-{how}.ply",
                "quality, an attribute",
                lambda p: meshes.save_current_mesh(str(p), **options),
            )
    save = partial(point_cloud_utils.save_mesh_vn, v=XYZ, n=NORMALS)
    add = partial(add_file, "point-cloud-utils 0.34.0")
    add("cloud.ply", "normals", lambda p: save(str(p)), columns(normals=NORMALS))


def las_file(version, kind, xyz=XYZ, offsets=(0, 0, 0), **extra):
    """Return a function that writes a LAS file; `extra` maps names to (type, values)."""
    las = laspy.LasData(laspy.LasHeader(version=version, point_format=kind))
    las.header.scales, las.header.offsets = [1 / 64] * 3, list(offsets)
    for name, (type_, _) in extra.items():
        las.add_extra_dim(
            type_
            if isinstance(type_, laspy.ExtraBytesParams)
            else laspy.ExtraBytesParams(name, type_)
        )
    las.x, las.y, las.z = xyz.T
    las.intensity, las.classification = LABEL * 100, LABEL % 32
    names = set(las.point_format.dimension_names)
    values = {
        "red": RGB[:, 0] * 257.0,
        "green": RGB[:, 1] * 257.0,
        "blue": RGB[:, 2] * 257.0,
        "gps_time": ROUGH[:, 0],
    }
    for name, column in (values | {name: column for name, (_, column) in extra.items()}).items():
        if name in names:
            las[name] = column
    return lambda p: las.write(p)


def with_waveforms(path):
    las_file("1.3", 4)(path)
    data = bytearray(path.read_bytes())
    data[6] |= 2  # the header says that the packets of waveforms stand in this file, and where
    data[227:235] = len(data).to_bytes(8, "little")
    name = (0).to_bytes(2, "little") + b"LASF_Spec".ljust(16, b"\0") + (65535).to_bytes(2, "little")
    path.write_bytes(data + name + (64).to_bytes(8, "little") + bytes(32) + bytes(64))


def copc_file(kind):
    def write(path):
        size = copclib.Vector3(1 / 64, 1 / 64, 1 / 64)
        file = copclib.FileWriter(str(path), copclib.CopcConfigWriter(kind, size))
        points = copclib.Points(file.copc_config.las_header)
        for x, y, z in XYZ.tolist():
            point = points.CreatePoint()
            point.x, point.y, point.z = x, y, z
            points.AddPoint(point)
        file.AddNode(copclib.VoxelKey(0, 0, 0, 0), points)
        file.Close()

    return write


def las_files():
    add = partial(add_file, f"laspy {laspy.__version__}")
    empty = laspy.LasData(laspy.LasHeader(version="1.2", point_format=0))
    extra = {f"a_{t}": (t, LABEL) for t in ("i1", "u2", "i4", "u8", "f4", "f8")} | {
        "three": ("3f4", NORMALS)
    }
    height = laspy.ExtraBytesParams(
        "height", "i4", scales=np.array([0.25]), offsets=np.array([1.0])
    )
    for suffix in ("las", "laz"):
        for kind, version in enumerate(["1.2"] * 4 + ["1.3"] * 2 + ["1.4"] * 5):
            add(f"format-{kind}.{suffix}", f"point format {kind}", las_file(version, kind))
        add(f"extra.{suffix}", "extra dimensions", las_file("1.4", 7, **extra))
        add(f"utm.{suffix}", "UTM with offsets", las_file("1.2", 2, UTM, (448000, 5411000, 0)))
    add("scaled.las", "scaled extra dimension", las_file("1.4", 6, height=(height, INTENSITY)))
    add("waves.las", "9 internal waveforms", with_waveforms)
    add("no-points.las", "no points", lambda p: empty.write(p), refuse=True)
    add = partial(add_file, "copc-lib 2.6.3")
    for kind in (6, 7, 8):
        add(f"format-{kind}.copc.laz", "6 COPC", copc_file(kind))


def pcl_files():
    library = sorted(Path("/usr/lib").glob("*/libpcl_io.so.1.*"))
    add = partial(add_file, f"PCL {library[0].name[13:]}" if library else "PCL")
    plain, source, normals, mesh, text = (
        FOLDER / f"pcl{n}" for n in (".ply", ".pcd", "-normals.pcd", ".obj", ".xyz")
    )
    plyfile.PlyData(
        [plyfile.PlyElement.describe(records(columns(rgb=RGB, normals=NORMALS)), "vertex")]
    ).write(plain)
    trimesh.creation.icosphere(2).export(mesh)
    np.savetxt(text, XYZ, fmt="%.6f")
    if library:
        run("pcl_ply2pcd", plain, source)
        run("pcl_normal_estimation", source, normals, "-k", 8)
    commands = f"""
        ascii.pcd       pcl_convert_pcd_ascii_binary {source} OUT 0
        binary.pcd      pcl_convert_pcd_ascii_binary {source} OUT 1
        compressed.pcd  pcl_convert_pcd_ascii_binary {source} OUT 2
        from-ply.pcd    pcl_ply2pcd {plain} OUT
        binary.ply      pcl_pcd2ply -format 1 {source} OUT
        ascii.ply       pcl_pcd2ply -format 0 {source} OUT
        grid.ply        pcl_pcd2ply -format 1 -use_camera 0 {source} OUT
        grid-ascii.ply  pcl_pcd2ply -format 0 -use_camera 0 {source} OUT
        mesh.pcd        pcl_obj2pcd {mesh} OUT
        mesh.ply        pcl_obj2ply {mesh} OUT
        normals.pcd     pcl_normal_estimation {source} OUT -k 8
        voxels.pcd      pcl_voxel_grid {source} OUT -leaf 1,1,1
        noise.pcd       pcl_add_gaussian_noise {source} OUT -sd 0.1
        viewpoint.pcd   pcl_pcd_change_viewpoint {source} OUT -viewpoint 1,2,3,0.5,0.5,0.5,0.5
        nan.pcd         pcl_pcd_introduce_nan {source} OUT 30
        organised.pcd   pcl_passthrough_filter {source} OUT -min -3 -max 3 -keep 1
        fpfh.pcd        pcl_fpfh_estimation {normals} OUT -k 8
        vfh.pcd         pcl_vfh_estimation {normals} OUT
        sampled.pcd     pcl_mesh_sampling {mesh} OUT -n_samples 200 -no_vis_result -write_normals
        generated.pcd   pcl_generate OUT -size 100
        text.pcd        pcl_xyz2pcd {text} OUT
        converted.ply   pcl_converter -f ascii {mesh} OUT
        converted.stl   pcl_converter -f ascii {mesh} OUT"""
    for line in commands.strip().splitlines():
        name, program, *words = line.split()
        holds = vertices if name.endswith("stl") else None
        add(
            name,
            program,
            lambda p: run(program, *(p if w == "OUT" else w for w in words)),
            holds,
            name == "vfh.pcd",
        )


def cloudcompare_files():
    source, mesh = FOLDER / "cc.ply", FOLDER / "cc.off"
    plyfile.PlyData(
        [plyfile.PlyElement.describe(records(columns(rgb=RGB, score=INTENSITY)), "vertex")]
    ).write(source)
    trimesh.creation.icosphere(1).export(mesh)
    add = partial(add_file, "CloudCompare")
    options = """
        plain.asc         ASC -PREC 8
        header.asc        ASC -PREC 8 -ADD_HEADER
        header-count.asc  ASC -PREC 8 -ADD_HEADER -ADD_PTS_COUNT
        count.txt         ASC -PREC 8 -ADD_PTS_COUNT -EXT txt
        header-count.txt  ASC -PREC 8 -ADD_HEADER -ADD_PTS_COUNT -EXT txt
        comma.csv         ASC -PREC 8 -SEP COMMA -ADD_HEADER -EXT csv
        semicolon.txt     ASC -PREC 8 -SEP SEMICOLON -ADD_HEADER -EXT txt
        tab.xyz           ASC -PREC 8 -SEP TAB -EXT xyz
        binary.ply        PLY -PLY_EXPORT_FMT BINARY_LE
        big.ply           PLY -PLY_EXPORT_FMT BINARY_BE
        ascii.ply         PLY -PLY_EXPORT_FMT ASCII
        cloud.pcd         PCD
        cloud.las         LAS
        mesh.ply          PLY
        mesh.obj          OBJ
        mesh.stl          STL
        mesh.off          OFF"""
    for line in options.strip().splitlines():
        name, *words = line.split()
        holds = (
            columns(rgb=RGB)
            if "ASC" in words
            else vertices
            if name[:4] == "mesh" and name != "mesh.ply"
            else None
        )
        given, of = (mesh, "MESHES") if name.startswith("mesh") else (source, "CLOUDS")
        command = ["CloudCompare", "-SILENT", "-O", given, f"-{of[0]}_EXPORT_FMT", *words]
        command += ["-NO_TIMESTAMP", f"-SAVE_{of}", "FILE"]
        add(name, f"7 {' '.join(words)}", lambda p: run(*command, p), holds)


def numpy_files():
    add = partial(add_file, f"NumPy {np.__version__}")
    arrays = {
        "f4": XYZ.astype("f4"), "f8": UTM, "six": np.hstack([XYZ, NORMALS]), "integers": (XYZ * 64).astype("i2"), "nan": NAN,
        "half": XYZ.astype("f2"), "fortran": np.asfortranarray(ROUGH), "big-endian": ROUGH.astype(">f8"), "single": XYZ[:1],
        "structured": records(columns(rgb=RGB, label=LABEL), label="i8"),
    }  # fmt: skip
    for name, array in arrays.items():
        add(
            f"{name}.npy",
            "one point" if name == "single" else f"npy, {name}",
            lambda p: np.save(p, array),
        )
    packs = {
        "points": {"points": XYZ}, "four": {"points": np.hstack([XYZ, XYZ[:, :1]])}, "all": {"points": ROUGH, "colors": RGB, "normals": NORMALS, "labels": LABEL},
        "nan": {"points": NAN.astype("f4"), "labels": LABEL}, "matrix": {"points": XYZ, "features": RANDOM.random((N, 4, 2))},
        "scene": {"points": UTM, "name": "a hall", "classes": np.arange(5)},
    }  # fmt: skip
    for name, pack in packs.items():
        add(f"{name}.npz", f"npz, {name}", lambda p: np.savez_compressed(p, **pack))
    styles = {
        "space.txt": {}, "comma.txt": {"delimiter": ","}, "comma.csv": {"delimiter": ","}, "semicolon.txt": {"delimiter": ";"},
        "tab.xyz": {"delimiter": "\t"}, "header.txt": {"header": "x y z red green blue"}, "footer.txt": {"footer": "the end"},
        "bare-header.txt": {"header": "x y z red green blue", "comments": ""}, "short.xyz": {"fmt": "%.6f"},
        "spaces.csv": {"delimiter": ", ", "header": "x, y, z, r, g, b"}, "wide.txt": {"fmt": "%12.6f"}, "crlf.txt": {"newline": "\r\n"},
        "cloud.xyz.gz": {}, "cloud.txt.gz": {}, "cloud.csv.gz": {"delimiter": ","},
    }  # fmt: skip
    for name, options in styles.items():
        add(
            name,
            f"7 savetxt {options}",
            lambda p: np.savetxt(p, np.hstack([XYZ, RGB]), **options),
            columns(rgb=RGB),
        )
    add("nan.xyz", "5 not-finite points", lambda p: np.savetxt(p, NAN), columns(NAN))
    add("single.txt", "one point", lambda p: np.savetxt(p, XYZ[:1]), columns(XYZ[:1]))


def text_files():
    add, frame = (
        partial(add_file, f"pandas {pandas.__version__}"),
        pandas.DataFrame(columns(rgb=RGB, label=LABEL)),
    )
    german = {"sep": ";", "decimal": ",", "index": False}
    styles = {
        "plain.csv": {"index": False}, "index.csv": {}, "no-header.csv": {"index": False, "header": False}, "german.csv": german,
        "german-bare.csv": german | {"header": False}, "german.txt": german, "tab.txt": {"index": False, "sep": "\t"},
        "bom.csv": {"index": False, "encoding": "utf-8-sig"}, "bom.xyz": {"index": False, "encoding": "utf-8-sig", "sep": " ", "header": False},
        "utf16.csv": {"index": False, "encoding": "utf-16"}, "quoted.csv": {"index": False, "quoting": 1}, "gz.csv.gz": {"index": False},
    }  # fmt: skip
    for name, options in styles.items():
        may = "may" if name in ("utf16.csv", "quoted.csv") else False
        add(
            name,
            f"7 to_csv {options}",
            lambda p: frame.to_csv(p, **options),
            columns(rgb=RGB, label=LABEL),
            may,
        )
    others = {
        "upper.csv": (frame.rename(columns=str.upper), False), "latin.csv": (frame.rename(columns={"label": "größe"}), False),
        "order.csv": (frame[["label", "red", "green", "blue", "x", "y", "z"]], "may"), "words.csv": (frame.assign(name="tree"), "may"),
    }  # fmt: skip
    for name, (other, may) in others.items():
        add(
            name,
            "7 " + name[:-4],
            lambda p: other.to_csv(p, index=False, encoding="latin-1"),
            columns(rgb=RGB),
            may,
        )
    add(
        "gap.csv",
        "5 empty cells",
        lambda p: pandas.DataFrame(columns(NAN)).to_csv(p, index=False),
        columns(NAN),
        "may",
    )
    rows = [f"{x} {y} {z}" for x, y, z in XYZ.tolist()]
    comma = [row.replace(" ", ",") for row in rows]
    texts = {
        "comments.xyz": ["# a scan", "// another", *rows], "trailing.txt": [row + "," for row in comma], "blanks.xyz": [row + "  " for row in rows],
        "blank-lines.txt": ["", *rows[:30], "", *rows[30:], ""], "latin.xyz": ["# Gerät", *rows], "count.xyz": [str(N), *rows],
        "molecule.xyz": [str(N), "molecule", *rows], "blanks-after-cr.xyz": "\r\r\n".join(rows).split("\n"), "decimal.txt": [row.replace(" ", ";").replace(".", ",") for row in rows],
        "cloud.asc": rows, "cloud.pts": [str(N), *rows], "names.xyz": ["X Y Z", *rows], "slashes.csv": ["//X,Y,Z", *comma], "CLOUD.XYZ": rows,
    }  # fmt: skip
    facet = "facet normal 0 0 1\nouter loop\nvertex {}\nvertex {}\nvertex {}\nendloop\nendfacet\n"
    pairs = [
        facet.format(*rows[i : i + 3]) + facet.format(*rows[i + 1 : i + 4]) for i in range(0, 12, 4)
    ]
    solids = "".join(f"solid {i}\n{pair}endsolid {i}\n" for i, pair in enumerate(pairs))
    add_file(
        "by hand",
        "three-solids.stl",
        "7 several solids in a file",
        lambda p: p.write_text(solids),
        vertices,
    )
    add_file(
        "by hand", "capitals.stl", "7 capitals", lambda p: p.write_text(solids.upper()), vertices
    )
    for name, lines in texts.items():
        data, may = "\n".join(lines).encode("latin-1"), name == "molecule.xyz" and "may"
        add_file("by hand", name, "7 text", lambda p: p.write_bytes(data), columns(), may)


def pypcd4_files():
    add, cloud = partial(add_file, "pypcd4 1.5.1"), pypcd4.PointCloud
    kinds = {"x": "f8", "y": "f8", "z": "f8", "label": "i4", "ring": "u2", "time": "f8"}
    named = columns(ROUGH, label=LABEL, ring=LABEL, time=ROUGH[:, 0])
    values = [np.asarray(named[name], kind) for name, kind in kinds.items()]
    fields = cloud.from_points(values, tuple(kinds), tuple(v.dtype.type for v in values))
    for style in pypcd4.Encoding:
        add(f"fields-{style.value}.pcd", "double, labels, rings", lambda p: fields.save(p, style))
    packed = cloud.encode_rgb(RGB).reshape(N, 1)
    add(
        "rgb.pcd",
        "packed rgb",
        cloud.from_xyzrgb_points(np.hstack([XYZ.astype("f4"), packed])).save,
    )


def shipped_files():
    """Copy test data out of the packages of laspy, meshio, pypcd4 and pymeshlab."""
    sources, packages = FOLDER / "sources", ("laspy==2.7.0", "meshio==5.3.5", "pypcd4==1.5.1")
    for name, package in ((package.split("=")[0], package) for package in packages):
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            name,
            package,
        ]
        if subprocess.run([*pip, "-d", sources / name], capture_output=True).returncode == 0:
            with tarfile.open(next((sources / name).glob("*.tar.gz"))) as archive:
                archive.extractall(sources / name, filter="data")
        else:
            NOT_MADE.append(
                f"not made: test data of {package}: its source package cannot be downloaded"
            )
    shutil.copytree(
        Path(pymeshlab.__file__).parent / "tests" / "sample_meshes", sources / "pymeshlab"
    )
    for file in sorted(sources.rglob("*")):
        if file.suffix in (".ply", ".pcd", ".las", ".laz", ".obj"):
            writer = file.relative_to(sources).parts[0]
            if writer == "laspy":
                with laspy.open(file) as las:
                    writer = f"laspy's data, by {las.header.generating_software or 'unknown'}"
            holds, refuse = (
                vertices if file.suffix == ".obj" else None,
                "invalid" in file.name or "empty" in file.name,
            )
            add_file(
                writer,
                file.name,
                "shipped test data",
                lambda p: shutil.copy(file, p),
                holds,
                refuse,
            )


def compressed_glb(path):
    """Write a glb file that needs a Draco decoder, as Blender and gltf-pipeline write them."""
    draco = "KHR_draco_mesh_compression"
    packed = {
        "attributes": {"POSITION": 0},
        "extensions": {draco: {"bufferView": 0, "attributes": {"POSITION": 0}}},
    }
    tree = {"asset": {"version": "2.0"}, "extensionsUsed": [draco], "extensionsRequired": [draco]}
    tree |= {"buffers": [{"byteLength": 16}], "bufferViews": [{"buffer": 0, "byteLength": 16}]}
    tree |= {
        "accessors": [{"componentType": 5126, "count": 24, "type": "VEC3"}],
        "meshes": [{"primitives": [packed]}],
    }
    text = json.dumps(
        tree | {"nodes": [{"mesh": 0}], "scenes": [{"nodes": [0]}], "scene": 0}
    ).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 44 + len(text), len(text), 0x4E4F534A)
    path.write_bytes(head + text + struct.pack("<II", 16, 0x004E4942) + bytes(16))


def damaged_files():
    """Write damaged copies of the files above, of which nothing can be sampled."""
    add = partial(add_file, "damaged", refuse=True)
    add("draco.glb", "7 compressed vertices", compressed_glb)
    kept = {Path(entry["file"]).name: FOLDER / entry["file"] for entry in reversed(MANIFEST)}
    wanted = """plain-binary.ply plain-text.ply binary.pcd compressed.pcd ascii.pcd format-3.las format-3.laz format-7.copc.laz f8.npy all.npz
        mesh.glb mesh.stl cloud.xyz.gz cloud.ply.gz"""
    for file in (kept[name] for name in wanted.split() if name in kept):
        data = file.read_bytes()
        cut = data.rindex(b"\n", 0, -200) + 1 if file.name == "ascii.pcd" else len(data) * 3 // 4
        add(f"cut-{file.name}", "10 cut off", lambda p: p.write_bytes(data[:cut]))
        add(
            f"head-{file.name}",
            "10 first 100 bytes",
            lambda p: p.write_bytes(data[:100]),
            refuse=True,
        )
    jpeg = FOLDER / "image.jpg"
    open3d.io.write_image(
        str(jpeg), open3d.geometry.Image(RANDOM.integers(0, 255, (40, 40, 3), np.uint8))
    )
    for suffix in (*FORMATS, ".csv", ".pts", ".obj", ".stl", ".glb", ".off", ".xyz.gz"):
        add(f"empty{suffix}", "10 empty", Path.touch)
        add(f"photo{suffix}", "10 a jpeg renamed", lambda p: shutil.copy(jpeg, p))
    header = b"ply\nformat ascii 1.0\nelement vertex 60\nproperty float x\nproperty float y\nproperty float z\n"
    texts = {
        "header-only.ply": header + b"end_header\n", "no-end.ply": header, "count.ply": header + b"end_header\n" + b"1 2 3\n" * 9,
        "type.ply": header.replace(b"float x", b"quadruple x") + b"end_header\n1 2 3\n", "words.xyz": b"1 2 3\n4 five 6\n7 8 9\n",
        "ragged.txt": b"1 2 3\n4 5\n7 8 9\n", "two.csv": b"1,2\n3,4\n", "nan.xyz": b"nan nan nan\n" * 5, "page.xyz": b"<html>\n<p>404</p>\n",
        "names-only.csv": b"x,y,z\n", "comments.txt": b"# nothing\n# here\n", "cloud.e57": b"ASTM-E57" + bytes(90), "cloud": b"1 2 3\n",
        "array.npz": b"PK\x05\x06" + bytes(18), "prose.txt": b"Scanned on Monday.\nThe weather was fine.\n", "zeros.las": bytes(400),
    }  # fmt: skip
    for name, data in texts.items():
        add(name, "10", lambda p: p.write_bytes(data))
    arrays = {
        "objects": np.array([{"a": 1}], object), "flat": np.zeros(9), "wide": np.zeros((5, 2)), "no-points": np.zeros((0, 3)),
        "nan": np.full((9, 3), np.nan), "words": np.full((5, 3), "a"), "cube": np.zeros((4, 3, 3)),
    }  # fmt: skip
    for name, array in arrays.items():
        add(f"{name}.npy", "10 array", lambda p: np.save(p, array, allow_pickle=True))


def conversions():
    """Write clouds with colours, normals and intensity, to be sampled into other formats."""
    double = columns(UTM, RGB, NORMALS)
    ply, utm = records(RICH), records(double, x="f8", y="f8", z="f8")
    for out in (".pcd", ".las", ".laz", ".npz", ".ply", ".npy", ".xyz"):
        writers = {
            "rich.ply": (plyfile.PlyData([plyfile.PlyElement.describe(ply, "vertex")]).write, RICH),
            "utm.ply": (plyfile.PlyData([plyfile.PlyElement.describe(utm, "vertex")]).write, double),
            "rich.pcd": (lambda p: open3d.io.write_point_cloud(str(p), open3d_cloud(with_="colours normals")), columns(rgb=RGB, normals=NORMALS)),
            "rich.las": (las_file("1.4", 7), columns(rgb=RGB, intensity=LABEL * 100)),
            "rich.npz": (lambda p: np.savez(p, points=XYZ, colors=RGB, normals=NORMALS, labels=LABEL), columns(rgb=RGB, normals=NORMALS)),
        }  # fmt: skip
        for name, (write, holds) in writers.items():
            if not (name.endswith(out) or (name, out) == ("rich.las", ".laz")):
                add_file("conversion", name, f"8 {name[-3:]} to {out}", write, holds, out=out)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True)
    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    makers = [
        open3d_files,
        plyfile_files,
        mesh_library_files,
        las_files,
        pcl_files,
        cloudcompare_files,
        numpy_files,
    ]
    for make in (*makers, text_files, pypcd4_files, shipped_files, damaged_files, conversions):
        make()
    (FOLDER / "manifest.json").write_text(json.dumps(MANIFEST, indent=1))
    print(*NOT_MADE, f"{len(MANIFEST)} files made", sep="\n")
