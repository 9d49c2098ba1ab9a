"""Rooms and their blocks: generated ones, S3DIS's scans and PointNet's blocks."""

import numpy as np
import pytest

from samplenet import InputError
from samplenet.data import blocks, h5, rooms, s3dis, scannet
from samplenet.data.rooms import Room


@pytest.fixture(scope="module")
def room():
    return rooms.generate(0, num_points=3000)


def test_a_generated_room_has_its_classes_where_they_belong(room):
    assert room.points.shape == (3000, 3) and room.colors.dtype == np.uint8
    np.testing.assert_array_equal(room.points.min(0), 0)
    width, depth, height = room.points.max(0)
    assert 3 < width < 6 and 3 < depth < 6 and 2.5 < height < 3
    z = room.points[:, 2]
    assert (z[room.labels == 1] == 0).all() and (z[room.labels == 0] == height).all()
    wall = room.points[room.labels == 2]
    apart = np.minimum(wall[:, :2], (width, depth) - wall[:, :2])
    assert apart.min(1).max() < 1e-6  # each is on one of four sides
    assert {0, 1, 2} < {*room.labels} and room.labels.max() < len(rooms.CLASSES)
    inside = room.labels > 2
    # furniture stands within the walls
    assert (room.points[inside, :2] > wall[:, :2].min(0) - 1e-6).all()
    assert (room.points[inside, :2] < wall[:, :2].max(0) + 1e-6).all()


def test_rooms_depend_on_split_and_number_alone(room):
    again = rooms.generated(1, num_points=3000)[0]
    np.testing.assert_array_equal(again.points, room.points)
    other = rooms.generate(0, "test", 3000)
    assert other.name != room.name and not np.array_equal(other.points, room.points)
    for arguments, words in (
        ((0, "val"), "split must be one of train, test; got 'val'"),
        ((-1,), "got index -1, seed 0"),
        ((0, "train", 0), "num_points must be at least 1, got 0"),
    ):
        with pytest.raises(InputError, match=words):
            rooms.generate(*arguments)


def test_pieces_of_furniture_do_not_meet():
    meshes = rooms.generate_meshes(3)
    boxes = [
        (piece[..., :2].min((0, 1)), piece[..., :2].max((0, 1)))
        for piece in np.split(meshes.triangles, 1 + np.flatnonzero(np.diff(meshes.labels)))
        if (piece[..., 2].max() < 2.4) and np.ptp(piece[..., :2], axis=(0, 1)).max() < 2.3
    ]
    assert len(boxes) > 2
    for i, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:i]:
            assert not ((low < other_high).all() and (other_low < high).all())


def test_the_features_of_a_block_are_those_of_pointnet():
    points = np.array([[0, 0, 0], [2.5, 1, 2], [0.25, 0.75, 1], [1.9, 0.5, 1]], np.float32)
    colors = np.array([[0, 51, 255]] * 4, np.uint8)
    room = Room(points, colors, np.array([0, 1, 2, 3]), "small")
    whole = blocks.cover(room, num_points=2)
    order = np.unique(whole.rows, return_index=True)[1]
    features = whole.features.reshape(-1, 9)[order]
    np.testing.assert_allclose(
        features[:, :3], [[-0.5, -0.5, 0], [0, 0.5, 2], [-0.25, 0.25, 1], [0.4, 0, 1]], atol=1e-6
    )
    np.testing.assert_allclose(features[:, 3:6], [[0, 0.2, 1]] * 4, atol=1e-6)
    np.testing.assert_allclose(features[2, 6:], [0.1, 0.75, 0.5], atol=1e-6)
    np.testing.assert_array_equal(whole.labels.ravel()[order], [0, 1, 2, 3])


def test_columns_cover_every_point_and_training_ones_overlap(room):
    whole = blocks.cover(room, 128)
    np.testing.assert_array_equal(np.unique(whole.rows), np.arange(3000))
    assert np.abs(whole.features[..., :2]).max() <= 0.5 + 1e-5 + 0.5  # the last one is closed
    drawn = blocks.draw(room, 128, least=50)
    assert len(drawn.features) > 1.5 * len(whole.features) * 128 / 3000
    counts = np.bincount(drawn.rows.ravel(), minlength=3000)
    assert counts.max() >= 2  # of columns half a metre apart
    np.testing.assert_array_equal(drawn.labels, room.labels[drawn.rows])
    assert blocks.draw(room, 128, least=10_000).features.shape == (0, 128, 9)


@pytest.fixture
def scans(tmp_path):
    """Two annotated rooms of two areas; one file has a stray character, as the released one."""
    for area, name in ((1, "office_1"), (5, "hallway_6")):
        folder = tmp_path / "raw" / f"Area_{area}" / name / "Annotations"
        folder.mkdir(parents=True)
        (folder / "chair_1.txt").write_bytes(b"1 2 3 10 20 30\n1.5 2 3 10 20\x1030\n")
        (folder / "stairs_1.txt").write_text("2 4 3.5 0 0 255\n")
    return tmp_path / "raw"


def test_scans_become_rooms(scans, tmp_path):
    files = s3dis.convert(scans, tmp_path / "rooms")
    assert [file.name for file in files] == ["Area_1_office_1.npy", "Area_5_hallway_6.npy"]
    (train,) = s3dis.load_rooms(tmp_path / "rooms", "train", test_area=5)
    (test,) = s3dis.load_rooms(tmp_path / "rooms", "test", test_area=5)
    assert train.name == "Area_1_office_1" and test.name == "Area_5_hallway_6"
    np.testing.assert_allclose(test.points, [[0, 0, 0], [0.5, 0, 0], [1, 2, 0.5]])
    assert test.labels.tolist() == [8, 8, 12]  # chair; stairs are clutter
    assert test.colors[1].tolist() == [10, 20, 30]
    with pytest.raises(InputError, match=r"no room Area_<a>_<room>.npy for its test split"):
        s3dis.load_rooms(tmp_path / "rooms", "test", test_area=3)
    with pytest.raises(InputError, match=r"area in \[1, 6\], got 'train', 7"):
        s3dis.load_rooms(tmp_path / "rooms", "train", test_area=7)
    np.save(files[0], np.zeros((3, 6)))
    with pytest.raises(InputError, match="must hold x y z r g b label a point"):
        s3dis.load_rooms(tmp_path / "rooms", "train")
    files[0].write_bytes(b"no array")
    with pytest.raises(InputError, match="Area_1_office_1.npy cannot be read"):
        s3dis.load_rooms(tmp_path / "rooms", "train")
    with pytest.raises(InputError, match="name the scans' folder"):
        s3dis.convert(tmp_path / "rooms", tmp_path / "again")


def write_ply(path, table, names):
    """Write a text PLY file of points with these properties, `label` a whole number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = {"x": "float", "y": "float", "z": "float", "label": "short"}
    properties = "".join(f"property {kinds.get(name, 'uchar')} {name}\n" for name in names)
    lines = "".join(" ".join(map(str, row)) + "\n" for row in table)
    head = f"ply\nformat ascii 1.0\nelement vertex {len(table)}\n{properties}end_header\n"
    path.write_text(head + lines)


PLY = ("x", "y", "z", "red", "green", "blue", "label")


def test_rooms_of_s3dis_as_ply_are_those_of_the_areas_lists(tmp_path):
    """Labels are in the published order: clutter, beam, board, bookcase, ceiling, chair ..."""
    for area in range(1, 7):
        rows = [[area, 2, 3, 10, 20, 30, 5], [0, 0, 1, 0, 0, 0, 10], [0, 1, 1, 1, 1, 1, 255]]
        rows += [[0, 1, 1, 1, 1, 1, 13], [0, 1, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1, -1]]
        write_ply(tmp_path / f"Area_{area}" / "office_1.ply", rows, PLY)
        (tmp_path / "splits").mkdir(exist_ok=True)
        (tmp_path / "splits" / f"area{area}.txt").write_text(f"Area_{area}/office_1.ply\n")
    (test,) = s3dis.load_rooms(tmp_path, "test", test_area=5)
    none = rooms.UNLABELLED
    # chair, stairs, 255, window, clutter, -1
    assert test.labels.tolist() == [8, none, none, 5, 12, none]
    np.testing.assert_allclose(test.points[0], [5, 2, 2])
    assert test.colors[0].tolist() == [10, 20, 30]
    assert len(s3dis.load_rooms(tmp_path, "train", test_area=5)) == 5
    write_ply(tmp_path / "Area_1" / "office_1.ply", [[1, 2, 3]], PLY[:3])
    with pytest.raises(InputError, match="has no property blue, green, label, red"):
        s3dis.load_rooms(tmp_path, "train")
    (tmp_path / "Area_1" / "office_1.ply").write_text("no ply")
    with pytest.raises(InputError, match="office_1.ply .*: correct or remove it"):
        s3dis.load_rooms(tmp_path, "train")
    (tmp_path / "splits" / "area5.txt").unlink()
    with pytest.raises(InputError, match="area5.txt cannot be read"):
        s3dis.load_rooms(tmp_path, "test", test_area=5)


def test_scans_of_scannet_have_the_benchmarks_classes(tmp_path):
    folder = tmp_path / "scans" / "scene0000_00"
    rows = [[1, 2, 3, 10, 20, 30], [0, 2, 4, 0, 0, 0], [0, 2, 4, 0, 0, 0], [0, 2, 4, 1, 1, 1]]
    write_ply(folder / "scene0000_00_vh_clean_2.ply", rows, PLY[:6])
    labels = folder / "scene0000_00_vh_clean_2.labels.ply"
    corners = [[0, 0, 0, 39], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 13]]
    write_ply(labels, corners, ("x", "y", "z", "label"))
    assert not scannet.is_scans(tmp_path)
    (tmp_path / "scannetv2_train.txt").write_text("scene0000_00\n")
    (tmp_path / "scannetv2_val.txt").write_text("\n")
    assert scannet.is_scans(tmp_path) and len(scannet.CLASSES) == 20
    (room,) = scannet.load_rooms(tmp_path, "train")
    assert room.name == "scene0000_00"
    assert room.labels.tolist() == [19, 0, rooms.UNLABELLED, rooms.UNLABELLED]
    np.testing.assert_allclose(room.points[:2], [[1, 0, 0], [0, 0, 1]])
    with pytest.raises(InputError, match="scannetv2_val.txt names no scan"):
        scannet.load_rooms(tmp_path, "test")
    write_ply(labels, corners[:2], ("x", "y", "z", "label"))
    with pytest.raises(InputError, match="has 4 points and its .labels.ply 2"):
        scannet.load_rooms(tmp_path, "train")


def test_blocks_in_hdf5_are_split_by_area(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(2):
        data = rng.random((2, 6, 9)).astype(np.float32)
        label = rng.integers(13, size=(2, 6)).astype(np.uint8)
        h5.write(tmp_path / f"ply_data_all_{number}.h5", {"data": data, "label": label})
    listing = "".join(f"indoor3d_sem_seg_hdf5_data/ply_data_all_{i}.h5\n" for i in range(2))
    (tmp_path / "all_files.txt").write_text(listing)
    names = ["Area_5_office_1", "Area_1_office_1", "Area_1_office_1", "Area_5_office_10"]
    (tmp_path / "room_filelist.txt").write_text("\n".join(names) + "\n")
    assert s3dis.is_blocks(tmp_path)
    features, labels = s3dis.load_blocks(tmp_path, "test", 5, num_points=4)
    assert features.shape == (2, 4, 9) and labels.shape == (2, 4)
    np.testing.assert_array_equal(features[1], data[1, :4])
    assert len(s3dis.load_blocks(tmp_path, "train", 5, 6)[0]) == 2
    for area, n, words in ((3, 4, "no block for its test split"), (5, 7, "at most 6, got 7")):
        with pytest.raises(InputError, match=words):
            s3dis.load_blocks(tmp_path, "test", area, n)
    (tmp_path / "room_filelist.txt").write_text("Area_5_office_1\n")
    with pytest.raises(InputError, match="has 1 lines for 4 blocks"):
        s3dis.load_blocks(tmp_path, "test", 5, 4)


def test_rooms_are_as_small_as_asked_for():
    room = rooms.generate(0, num_points=2000, largest=3.5)
    assert (room.points.max(0)[:2] < 3.7).all()
    assert len(rooms.generate_meshes(0, largest=3.5).boxes) > 0
    with pytest.raises(InputError, match="largest must be at least 3, got 2"):
        rooms.generate(0, largest=2)
