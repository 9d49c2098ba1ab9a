"""Pictures of meshes: against a ray caster in NumPy, as files, and by the command."""

import inspect
import re
import select
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from samplenet.data import cameras, shapes
from samplenet.depth import cloud as depth_cloud
from samplenet.errors import InputError

pytest.importorskip("embreex", reason="embreex is not installed: no picture of a mesh is tested")
pytest.importorskip("PIL", reason="Pillow is not installed: no picture of a mesh is tested")
pytest.importorskip("scipy", reason="SciPy is not installed: no picture of a mesh is tested")

import scipy.io
from PIL import Image

from samplenet.data.views import files, truths
from samplenet.data.views.__main__ import main
from samplenet.data.views.drawing import SPLITS, Drawing, random_cameras, read_list
from samplenet.data.views.make import make
from samplenet.data.views.meshes import BuiltIn, ObjFolder, Surface
from samplenet.data.views.rays import DARKEST, FAR, LIGHT, render

SOURCE = BuiltIn(("chair", "car", "airplane", "table"), 2)
TINY = Drawing(views=2, size=12, samples=2, points=20)


def cast(surface, extrinsic, size, ticks):
    """Cast a ray through every (column, row) of `ticks`, by Cramer's rule for each triangle.

    Returns:
        triangle, depth and barycentric coordinates of the first hit, and whether the ray is nowhere
        near an edge; of shape (rows, columns, ...).
    """
    K, camera = cameras.intrinsics(size), cameras.centre(extrinsic)
    x, y = np.meshgrid(ticks, ticks)
    ray = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)], -1)
    ray = ray.reshape(-1, 1, 3) @ extrinsic[:3, :3]  # (R, 1, 3): depth 1 at length 1
    corner, second, third = np.moveaxis(surface.triangles, 1, 0)
    a, b, start = second - corner, third - corner, camera - corner  # (F, 3)
    across = np.cross(ray, b)  # (R, F, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / (across * a).sum(-1)
        u = (across * start).sum(-1) * scale
        v = (ray * np.cross(start, a)).sum(-1) * scale
        depth = (b * np.cross(start, a)).sum(-1) * scale  # (R, F)
    shares = np.nan_to_num(np.stack([1 - u - v, u, v], -1), nan=-1, posinf=-1, neginf=-1)
    least = shares.min(-1)
    depth = np.where((least >= 0) & (depth > 0), depth, np.inf)
    first, rows = depth.argmin(1), np.arange(len(depth))
    hit = np.isfinite(depth[rows, first])
    shape = (len(ticks), len(ticks))
    return (
        np.where(hit, first, -1).reshape(shape),
        np.where(hit, depth[rows, first], FAR).reshape(shape),
        (shares[rows, first] * hit[:, None]).reshape(*shape, 3),
        (abs(least) > 1e-4).all(1).reshape(shape),
    )


@pytest.mark.parametrize("name", SOURCE.classes)
def test_pictures_are_those_of_a_plain_ray_caster(name):
    surface, size = SOURCE.surface(name, f"{name}_0001"), 20
    extrinsics = cameras.extrinsic([30, -100], [20, -10])
    views = render(surface, extrinsics, size, samples=2)
    for k, extrinsic in enumerate(extrinsics):
        triangle, depth, shares, clear = cast(surface, extrinsic, size, np.arange(size) + 0.5)
        assert clear.mean() > 0.8 and (triangle >= 0).any()
        # Coplanar triangles of two parts may answer for each other; the point is the same one.
        np.testing.assert_allclose(views.depth[k][clear], depth[clear], atol=1e-5)
        same = clear & (views.triangle[k] == triangle)
        assert same.sum() >= 0.98 * clear.sum()
        np.testing.assert_allclose(views.barycentric[k][same], shares[same], atol=1e-4)
        parts = np.append(surface.parts + 1, 0)[triangle]
        np.testing.assert_array_equal(views.label[k][same], parts[same])

        ticks = np.arange(2 * size + 1) / 2
        seen, _, _, clear = cast(surface, extrinsic, size, ticks)
        weights = np.outer([1, 2, 1], [1, 2, 1]) / 16
        windows = np.lib.stride_tricks.sliding_window_view
        alpha = (windows(seen >= 0, (3, 3))[::2, ::2] * weights).sum((2, 3))
        clear = windows(clear, (3, 3))[::2, ::2].all((2, 3))
        np.testing.assert_allclose(views.alpha[k][clear], alpha[clear], atol=1e-6)


@pytest.fixture(scope="module")
def drawn():
    surface = SOURCE.surface("chair", "chair_0000")
    extrinsics = random_cameras("chair", "chair_0000", 4, seed=3)
    return surface, extrinsics, render(surface, extrinsics, 48)


def test_the_point_of_a_pixel_projects_onto_its_centre(drawn):
    surface, extrinsics, views = drawn
    sees = views.triangle >= 0
    assert sees.mean() > 0.05
    rows, columns = np.mgrid[:48, :48] + 0.5
    K = cameras.intrinsics(48)
    for k, extrinsic in enumerate(extrinsics):
        points = views.points(surface)[k][sees[k]]
        pixels, depth = cameras.project(points, extrinsic, K)
        centres = np.stack([columns, rows], -1)[sees[k]]
        np.testing.assert_allclose(pixels, centres, atol=1e-3)
        np.testing.assert_allclose(depth, views.depth[k][sees[k]], atol=1e-5)
        back = cameras.unproject(centres, views.depth[k][sees[k]], extrinsic, K)
        np.testing.assert_allclose(back, points, atol=1e-5)


def test_the_depth_is_that_of_a_depth_camera(drawn):
    """`samplenet.depth` has the same camera frame; its first pixel's centre is at 0."""
    surface, extrinsics, views = drawn
    sees = views.triangle[0] >= 0
    found = depth_cloud(np.where(sees, views.depth[0], 0), (90, 90, 23.5, 23.5))
    points = views.points(surface)[0][sees] @ extrinsics[0, :3, :3].T + extrinsics[0, :3, 3]
    np.testing.assert_allclose(found.points, points, atol=1e-5)


def test_channels_agree_where_the_background_is(drawn):
    surface, extrinsics, views = drawn
    sees = views.triangle >= 0
    np.testing.assert_array_equal(views.label > 0, sees)
    np.testing.assert_array_equal(views.depth < FAR, sees)
    assert (views.depth[~sees] == FAR).all() and (views.alpha[sees] > 0).all()
    assert (views.rgb[views.alpha == 0] == 0).all() and (views.barycentric[~sees] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(views.normal, axis=-1), sees, atol=1e-6)
    np.testing.assert_allclose(views.barycentric.sum(-1), sees, atol=1e-6)
    rays = views.points(surface) - cameras.centre(extrinsics)[:, None, None]
    assert ((rays * views.normal).sum(-1)[sees] < 1e-6).all()  # towards the camera


def rectangle(columns, rows, size):
    """Return a rectangle of colour (1, 0.5, 0) in the plane x = 0, seen from azimuth 0 at 2."""
    K, extrinsic = cameras.intrinsics(size), cameras.extrinsic(0, 0)
    pixels = np.array([(c, r) for c, r in zip(columns * 2, np.repeat(rows, 2), strict=True)])
    a, b, c, d = cameras.unproject(pixels, np.full(4, 2.0), extrinsic, K)
    triangles = np.array([(a, b, c), (b, d, c)])
    return Surface(triangles, np.tile([1, 0.5, 0], (2, 1)), np.array([0, 1])), extrinsic


@pytest.mark.parametrize("mirrored", [False, True])
def test_alpha_is_the_covered_share(mirrored):
    surface, extrinsic = rectangle([2, 5.375], [1.125, 4.1], 8)
    if mirrored:  # both sides of a triangle are seen
        surface = Surface(surface.triangles[:, ::-1], surface.colors, surface.parts)
    views = render(surface, extrinsic[None], 8, samples=4)
    across = [0, 0, 1, 1, 1, 0.375, 0, 0]
    np.testing.assert_allclose(views.alpha[0, 2, 3:], across[3:], atol=1e-6)
    np.testing.assert_allclose(views.alpha[0, 1, 3], 0.875, atol=1e-6)
    np.testing.assert_allclose(views.alpha[0, 4, 3], 0.125, atol=1e-6)  # the corners' row alone
    bright = DARKEST + (1 - DARKEST) * (1 + LIGHT[0]) / 2
    covered = views.alpha[0] > 0
    np.testing.assert_allclose(
        views.rgb[0][covered], np.tile([bright, bright / 2, 0], (covered.sum(), 1)), atol=1e-6
    )
    np.testing.assert_allclose(views.depth[0, 3, 3], 2, rtol=1e-6)
    np.testing.assert_allclose(views.normal[0, 3, 3], [1, 0, 0], atol=1e-6)
    assert views.triangle[0, 4, 3] == -1  # its centre is at 4.5


def test_one_ray_a_pixel_sees_what_the_centres_see(drawn):
    surface, extrinsics, views = drawn
    plain = render(surface, extrinsics, 48, samples=1)
    np.testing.assert_array_equal(plain.alpha, views.triangle >= 0)
    for channel in ("depth", "label", "triangle", "barycentric", "normal"):
        np.testing.assert_array_equal(getattr(plain, channel), getattr(views, channel))


def test_colours_tell_neither_class_nor_part():
    """Each part's mean colour over many shapes is grey: within five deviations of 0.5."""
    count = 150
    for name in ("chair", "airplane"):
        total = np.zeros((4, 3))
        times = np.zeros((4, 1))
        for index in range(count):
            surface = BuiltIn((name,), count).surface(name, f"{name}_{index:04d}")
            for part in np.unique(surface.parts):
                colors = surface.colors[surface.parts == part]
                assert (colors == colors[0]).all()
                total[part] += colors[0]
                times[part] += 1
        deviation = 0.8 / np.sqrt(12 * times)
        assert (abs(total / times - 0.5) < 5 * deviation).all()


def test_built_in_surfaces_fill_the_box_of_diagonal_1_and_are_not_turned():
    surface = SOURCE.surface("car", "car_0001")
    corners = surface.triangles.reshape(-1, 3)
    np.testing.assert_allclose(corners.min(0), -corners.max(0), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(np.ptp(corners, axis=0)), 1)
    raw, parts = shapes.mesh_in_parts("car", 1)
    np.testing.assert_allclose(
        np.ptp(corners, axis=0) * np.linalg.norm(np.ptp(raw.reshape(-1, 3), axis=0)),
        np.ptp(raw.reshape(-1, 3), axis=0),
    )
    np.testing.assert_array_equal(surface.parts, parts)


def test_cameras_are_whole_degrees_in_the_published_ranges():
    extrinsics = random_cameras("car", "a", 500, seed=0)
    azimuth, elevation, distance = cameras.angles(cameras.centre(extrinsics))
    np.testing.assert_allclose(azimuth, np.round(azimuth), atol=1e-6)
    np.testing.assert_allclose(elevation, np.round(elevation), atol=1e-6)
    np.testing.assert_allclose(distance, 2)
    np.testing.assert_allclose([elevation.min(), elevation.max()], [-20, 39])
    assert azimuth.min() < -170 and azimuth.max() > 170
    np.testing.assert_array_equal(random_cameras("car", "a", 3, seed=0), extrinsics[:3])
    for key in (("chair", "a", 500, 0), ("car", "b", 500, 0), ("car", "a", 500, 1)):
        assert not np.array_equal(random_cameras(*key), extrinsics)


def test_files_hold_the_pictures(tmp_path, drawn):
    surface, extrinsics, views = drawn
    files.write(tmp_path / "m", views, extrinsics, has_parts=True)
    found = files.read(tmp_path / "m")
    alpha = views.alpha[..., None]
    np.testing.assert_allclose(found.masks, views.alpha, atol=0.51 / 255)
    np.testing.assert_allclose(found.images, views.rgb * alpha + 1 - alpha, atol=1.1 / 255)
    np.testing.assert_allclose(found.depths, views.depth, atol=5.1 / 65535)
    np.testing.assert_array_equal(found.labels, views.label)
    np.testing.assert_allclose(found.extrinsics, extrinsics, atol=1e-12)
    K = scipy.io.loadmat(tmp_path / "m/camera_0.mat")["K"]
    np.testing.assert_allclose(K, [[90, 0, 24], [0, 90, 24], [0, 0, 1]])
    centres = np.stack(np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5), -1).reshape(-1, 2)
    points = cameras.unproject(centres, found.depths.reshape(4, -1), found.extrinsics, K)
    sees = views.triangle >= 0
    points = points.reshape(4, 48, 48, 3)[sees]
    np.testing.assert_allclose(points, views.points(surface)[sees], atol=1e-4)
    table = np.loadtxt(tmp_path / "m/view.txt")
    np.testing.assert_allclose(cameras.extrinsic(*table[:, :2].T), extrinsics, atol=1e-6)
    assert (table[:, 2:] == (0, 2)).all()
    np.testing.assert_array_equal(found.intrinsics, [K] * 4)
    few = files.read(tmp_path / "m", num_views=2, size=24)
    np.testing.assert_allclose(few.intrinsics, [cameras.intrinsics(24)] * 2)
    assert few.images.shape == (2, 24, 24, 3) and {*np.unique(few.labels)} <= {*range(5)}
    np.testing.assert_allclose(few.masks.mean(), found.masks[:2].mean(), atol=0.01)


def published(folder, numbers):
    """Write a model as the released renderings have it: no labels, no K; view k of brightness k."""
    folder.mkdir(parents=True)
    for k in numbers:
        rgba = np.full((4, 4, 4), (k, 0, 0, 255), np.uint8)
        rgba[0] = (k, 0, 0, 51)
        Image.fromarray(rgba).save(folder / f"render_{k}.png")
        Image.fromarray(np.full((4, 4), 13107, np.uint16)).save(folder / f"depth_{k}.png")
        camera = cameras.to_blender(cameras.extrinsic(10 * k, 5))
        scipy.io.savemat(
            folder / f"camera_{k}.mat", {"extrinsic": camera["extrinsic"], "pos": camera["pos"]}
        )


def test_the_published_layout_is_read_by_number(tmp_path):
    published(tmp_path / "m", range(12))
    found = files.read(tmp_path / "m")
    np.testing.assert_allclose(found.images[:, 2, 2, 0] * 255, range(12), atol=1e-3)
    np.testing.assert_allclose(found.masks[:, 0], 0.2)
    np.testing.assert_allclose(found.images[3, 0, 0], np.array([3 / 255, 0, 0]) * 0.2 + 0.8)
    np.testing.assert_allclose(found.depths, 2, rtol=1e-6)
    assert found.labels is None
    np.testing.assert_allclose(found.extrinsics[11], cameras.extrinsic(110, 5), atol=1e-12)
    np.testing.assert_array_equal(found.intrinsics[0], cameras.intrinsics(4))


def without_alpha(folder, background=13107):
    """Take alpha off the pictures of a model; the first row's depth becomes `background`."""
    for path in folder.glob("render_*.png"):
        Image.open(path).convert("RGB").save(path)
    depth = np.full((4, 4), 13107, np.uint16)
    depth[0] = background
    for path in folder.glob("depth_*.png"):
        Image.fromarray(depth).save(path)


@pytest.mark.parametrize("object_value", [1, 255])
def test_masks_without_alpha_are_of_their_own_files_or_of_the_depth(tmp_path, object_value):
    published(tmp_path / "m", range(2))
    without_alpha(tmp_path / "m", background=65535)
    found = files.read(tmp_path / "m")
    np.testing.assert_array_equal(found.masks[:, 0], 0)
    np.testing.assert_array_equal(found.masks[:, 1:], 1)
    np.testing.assert_array_equal(found.images[:, 0], 1)  # white
    np.testing.assert_allclose(found.images[1, 2, 2], (1 / 255, 0, 0), atol=1e-6)
    mask = np.zeros((4, 4), np.uint8)
    mask[:, 3] = object_value
    for k in range(2):
        Image.fromarray(mask).save(tmp_path / f"m/mask_{k}.png")
    np.testing.assert_array_equal(files.read(tmp_path / "m").masks, [mask > 0] * 2)


def test_alpha_comes_before_a_mask_of_any_kind(tmp_path):
    published(tmp_path / "m", range(2))
    Image.new("1", (7, 7)).save(tmp_path / "m/mask_0.png")
    np.testing.assert_allclose(files.read(tmp_path / "m").masks[:, 0], 0.2)


def only_renders(folder):
    without_alpha(folder)
    for path in folder.glob("depth_*.png"):
        path.unlink()


def damage(name, content=b"no picture"):
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage("render_1.png"), "render_1.png cannot be read"),
        (damage("camera_0.mat"), "camera_0.mat cannot be read"),
        (lambda folder: (folder / "camera_1.mat").unlink(), "camera_1.mat cannot be read"),
        (lambda folder: (folder / "depth_1.png").unlink(), "depth_1.png cannot be read"),
        (lambda folder: (folder / "render_1.png").unlink(), "1 of 2 views"),
        (only_renders, "without alpha, so it needs mask_k.png or depth_k.png"),
        (
            lambda folder: Image.new("RGB", (4, 4)).save(folder / "render_1.png"),
            "several sizes, or with and without alpha",
        ),
        (
            lambda folder: shutil.copy(folder / "depth_0.png", folder / "render_0.png"),
            "render_0.png is a picture of the kind I;16, not RGBA",
        ),
        (
            lambda folder: Image.new("RGBA", (5, 5)).save(folder / "render_1.png"),
            "several sizes",
        ),
        (
            lambda folder: Image.new("RGBA", (8, 4)).save(folder / "render_1.png"),
            "render_1.png must be square, got 8 x 4",
        ),
        (
            lambda folder: Image.new("1", (30_000, 30_000)).save(folder / "render_1.png"),
            "render_1.png cannot be read: Image size",
        ),
        (
            lambda folder: scipy.io.savemat(folder / "camera_0.mat", {"pos": [1]}),
            "camera_0.mat holds no array of numbers 'extrinsic'",
        ),
        (
            lambda folder: scipy.io.savemat(folder / "camera_0.mat", {"extrinsic": np.eye(3)}),
            r"extrinsic must be finite, of shape \(4, 4\)",
        ),
        (
            lambda folder: scipy.io.savemat(
                folder / "camera_0.mat", {"extrinsic": np.eye(4), "K": np.eye(4)}
            ),
            r"K must be finite, of shape \(3, 3\)",
        ),
    ],
)
def test_a_bad_file_is_named(tmp_path, change, message):
    published(tmp_path / "m", range(2))
    change(tmp_path / "m")
    with pytest.raises(InputError, match=message):
        files.read(tmp_path / "m", num_views=2)


@pytest.mark.parametrize("name", ["num_views", "size"])
def test_a_bad_number_is_named(tmp_path, name):
    published(tmp_path / "m", range(2))
    with pytest.raises(InputError, match=f"{name} must be at least 1, got 0"):
        files.read(tmp_path / "m", **{name: 0})


def test_pictures_in_memory_and_files_have_one_default():
    assert inspect.signature(render).parameters["samples"].default == Drawing().samples


def content(root):
    """Read all models of a data set."""
    found = {}
    for path in sorted(root.glob("*/*/view.txt")):
        pictures = files.read(path.parent)
        cloud = truths.read_cloud(root / "gt" / path.parts[-3] / f"{path.parts[-2]}.mat")
        found[path.parts[-2]] = (
            pictures.images,
            pictures.depths,
            pictures.extrinsics,
            cloud.points,
        )
    return found


def equal(first, second):
    assert first.keys() == second.keys() and first
    for name in first:
        for a, b in zip(first[name], second[name], strict=True):
            np.testing.assert_array_equal(a, b)


def test_several_processes_write_what_one_writes(tmp_path, capsys):
    flags = "--meshes builtin --classes chair cup --shapes-per-class 3 --views 2 --size 12"
    flags = [*flags.split(), "--samples", "2", "--points", "20", "--processes"]
    main([*flags, "2", "--out", str(tmp_path / "two")])
    assert capsys.readouterr().out == f"{tmp_path / 'two'}: written, 0 meshes left out\n"
    make(BuiltIn(("cup", "chair"), 3), tmp_path / "one", TINY)
    equal(content(tmp_path / "one"), content(tmp_path / "two"))
    assert not [*(tmp_path / "two").rglob(".*")]  # nothing temporary is left
    lists = {s: read_list(tmp_path / f"one/splits/cup_{s}.txt") for s in ("train", "test")}
    assert {*sum(lists.values(), [])} == {"cup_0000", "cup_0001", "cup_0002"}


def test_a_kill_while_the_settings_are_written_is_no_other_content(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/views.json.part").write_bytes(b"{")
    make(BuiltIn(("chair",), 1), tmp_path / "out", TINY)
    assert not (tmp_path / "out/views.json.part").exists()


def test_a_second_process_waits_for_the_first(tmp_path, monkeypatch, caplog):
    source, out = BuiltIn(("chair",), 3), tmp_path / "out"
    make(source, tmp_path / "one", TINY)
    written, others = files.write, []

    def start_another(folder, *args):
        written(folder, *args)
        if not others:
            others.append(pool.submit(make, source, out, TINY))
            end = time.time() + 20
            while f"writing {out}: waiting for it" not in caplog.text and time.time() < end:
                time.sleep(0.01)

    monkeypatch.setattr(files, "write", start_another)
    with ThreadPoolExecutor(1) as pool:  # a lock knows threads apart as it does processes
        make(source, out, TINY)
    assert others[0].result() == []
    equal(content(out), content(tmp_path / "one"))


def test_splits_are_seven_one_and_two_tenths(tmp_path):
    make(BuiltIn(("bowl",), 10), tmp_path / "a", Drawing(1, 4, 1, 1))
    lists = [read_list(tmp_path / f"a/splits/bowl_{s}.txt") for s in ("train", "val", "test")]
    assert [len(names) for names in lists] == [7, 1, 2] and len({*sum(lists, [])}) == 10


def test_an_interrupted_call_is_continued(tmp_path, monkeypatch):
    source, out = BuiltIn(("chair", "car"), 2), tmp_path / "out"
    make(source, tmp_path / "whole", TINY)
    written = files.write

    def fail_at_the_third(folder, *args):
        written(folder, *args)
        if len([*out.glob("*/*/view.txt")]) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", fail_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            make(source, out, TINY)
    assert len([*out.glob("*/*/view.txt")]) == 2 and not (out / "splits").exists()
    assert not [*out.rglob(".*")]
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*/view.txt")}
    make(source, out, TINY)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    equal(content(out), content(tmp_path / "whole"))


def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    """Their standard output closes when the last of them has ended; what they wrote is whole."""
    flags = "--meshes builtin --shapes-per-class 2000 --views 1 --size 8 --samples 1 --points 1"
    command = [sys.executable, "-m", "samplenet.data.views", *flags.split(), "--processes", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "--out", str(tmp_path / "out")], **pipes) as parent:
        end = time.time() + 60
        while not [*tmp_path.glob("out/*/*/view.txt")] and time.time() < end:
            time.sleep(0.05)
        parent.kill()
        assert select.select([parent.stdout], [], [], 60)[0] and parent.stdout.read() == b""
    written = [*tmp_path.glob("out/*/[!.]*/view.txt")]
    assert written and all(len([*path.parent.iterdir()]) == 5 for path in written)


TETRAHEDRON = """mtllib model.mtl
v -0.3 0 0
v 0.3 0 0
v 0 0.3 0
v 0 0 0.3
usemtl red
f 1 2 3
f 1 2 4
usemtl grey
f 1 3 4
f 2 3 4
"""


@pytest.fixture
def meshes(tmp_path):
    """Write a folder of OBJ files: two good ones, and one of each fault."""
    pytest.importorskip("trimesh", reason="trimesh is not installed: no OBJ file is read")
    bad = {
        "empty": "",
        "words": "v a b c\nf 1 2 3\n",
        "beyond": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
        "nan": "v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "line": "v 0 0 0\nv 0.1 0 0\nv 0.2 0 0\nf 1 2 3\n",
        "large": TETRAHEDRON.replace("0.3", "30"),
    }
    for name, text in {**bad, "good": TETRAHEDRON, "too": TETRAHEDRON}.items():
        folder = tmp_path / "meshes/03001627" / name
        folder.mkdir(parents=True)
        (folder / "model.obj").write_text(text)
        (folder / "model.mtl").write_text("newmtl red\nKd 1 0 0\nnewmtl grey\nKd 0.2 0.2 0.2\n")
    (tmp_path / "meshes/03001627/missing").mkdir()
    return tmp_path / "meshes"


def test_bad_meshes_are_named_at_the_end(tmp_path, meshes, capsys):
    flags = ["--views", "3", "--size", "16", "--points", "50", "--processes", "1"]
    main(["--meshes", str(meshes), "--out", str(tmp_path / "out"), *flags])
    printed = capsys.readouterr()
    assert printed.out.endswith("written, 7 meshes left out\n")
    reasons = printed.err.splitlines()
    for name, reason in {
        "empty": "has no triangles",
        "words": "cannot be read: ",
        "beyond": "cannot be read: ",
        "nan": "not finite",
        "line": "without area",
        "large": "reaches 30 from the origin, more than 1: scale it, or use --fit",
        "missing": "is missing",
    }.items():
        assert [line for line in reasons if f"/{name}/model.obj" in line and reason in line], name
    out = tmp_path / "out"
    assert {*content(out)} == {"good", "too"} and not [*out.rglob("labels_*.png")]
    names = [path.read_text().split() for path in out.glob("splits/03001627_*.txt")]
    assert sorted(sum(names, [])) == ["good", "too"] and len(names) == 3
    image = files.read(out / "03001627/good").images
    reds = (image[..., 0] > 0.3) & (image[..., 1:] < 0.01).all(-1)
    assert reds.any() and not (image[..., 1] > image[..., 0] + 0.01).any()
    cloud, colors, labels = truths.read_cloud(out / "gt/03001627/good.mat")
    assert cloud.shape == (50, 3) and cloud.min() >= -0.3 and cloud.max() <= 0.3
    assert colors.shape == (50, 3) and labels is None


def test_fit_scales_a_mesh_to_the_picture(tmp_path, meshes):
    surface = ObjFolder(meshes, fit=True).surface("03001627", "large")
    np.testing.assert_allclose(np.linalg.norm(np.ptp(surface.triangles, axis=(0, 1))), 1)


def test_given_lists_say_what_is_drawn(tmp_path, meshes):
    for split, names in (("train", "good\nmissing\n"), ("test", "too\n")):
        (tmp_path / f"03001627_{split}.txt").write_text(names)
    lists = [tmp_path / f"03001627_{split}.txt" for split in ("train", "test")]
    left_out = make(ObjFolder(meshes), tmp_path / "out", TINY, lists)
    assert len(left_out) == 1 and "missing/model.obj is missing" in left_out[0]
    assert read_list(tmp_path / "out/splits/03001627_train.txt") == ["good"]
    assert read_list(tmp_path / "out/splits/03001627_test.txt") == ["too"]
    assert not (tmp_path / "out/splits/03001627_val.txt").exists()
    make(ObjFolder(meshes), tmp_path / "out", TINY, lists[1:])
    assert [path.name for path in tmp_path.glob("out/splits/*")] == ["03001627_test.txt"]


def test_written_lists_can_be_given(tmp_path):
    source, lists = BuiltIn(("cup",), 1), [tmp_path / f"a/splits/cup_{s}.txt" for s in SPLITS]
    make(source, tmp_path / "a", TINY)
    assert [read_list(path) for path in lists] == [["cup_0000"], [], []]
    make(source, tmp_path / "b", TINY, lists)
    assert read_list(tmp_path / "b/splits/cup_val.txt") == []


def test_a_data_set_is_of_one_folder_of_meshes(tmp_path, meshes, monkeypatch):
    make(ObjFolder(meshes), tmp_path / "out", TINY)
    monkeypatch.chdir(tmp_path)
    make(ObjFolder(Path("meshes")), tmp_path / "out", TINY)
    shutil.copytree(meshes, tmp_path / "others")
    with pytest.raises(InputError, match=f"was made with meshes {meshes}: name another"):
        make(ObjFolder(tmp_path / "others"), tmp_path / "out", TINY)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"cup_train": "a", "cup_test": "b\na"}, "cup_test.txt names a, which another list has"),
        ({"cup_all": "a"}, "must be named <synset>_<split>.txt"),
        ({"mug_train": "a"}, "and the synsets cup"),
        ({"cup_train": "", "cup_test": "\n"}, "the lists of cup name no model"),
        ({"cup_train": "a\na"}, "cup_train.txt names a twice: name each model once"),
        ({"cup_train": "../a"}, "'../a', which cannot be the name"),
    ],
)
def test_bad_lists_are_named(tmp_path, lists, message):
    for name, text in lists.items():
        (tmp_path / f"{name}.txt").write_text(text)
    paths = [tmp_path / f"{name}.txt" for name in lists]
    with pytest.raises(InputError, match=re.escape(message)):
        make(BuiltIn(("cup",), 1), tmp_path / "out", TINY, paths)
    assert not (tmp_path / "out").exists()


def test_a_list_of_no_built_in_shape_leaves_it_out(tmp_path):
    (tmp_path / "cup_train.txt").write_text("cup_0001\nmine\n")
    left_out = make(BuiltIn(("cup",), 1), tmp_path / "out", TINY, [tmp_path / "cup_train.txt"])
    assert left_out == ["cup/mine is no built-in shape: their names are cup_0012"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--size 16", "was made with size 12: name another folder"),
        ("--seed 1", "was made with seed 0"),
        ("--shapes-per-class 3", "was made with shapes_per_class 1"),
        ("--fit", "--fit is for folders of OBJ files"),
        ("--meshes {tmp} --shapes-per-class 1", "--shapes-per-class is for --meshes builtin"),
        ("--size 0", "size must be at least 1, got 0"),
        ("--samples 3", "samples must be 1 or even, got 3"),
        ("--processes 0", "--processes must be at least 1, got 0"),
        ("--classes mug", "classes must be of airplane, .*; got 'mug'"),
        ("--meshes nowhere", "nowhere is not a folder"),
        ("--out {tmp}", "has other content"),
        ("--split {tmp}/cup_train.txt", "cup_train.txt cannot be read"),
    ],
)
def test_a_fault_is_one_sentence(tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    make(BuiltIn(("cup",), 1), tmp_path / "out", TINY)
    right = "--meshes builtin --classes cup --views 2 --size 12 --samples 2 --points 20 "
    right += "--processes 1 --out out "
    if "--meshes" not in flags:
        right += "--shapes-per-class 1 "
    with pytest.raises(SystemExit, match=message) as end:
        main((right + flags.format(tmp=tmp_path)).split())
    assert "\n" not in str(end.value)
