"""Rooms with boxes: generated ones, and small files in the layouts of SUN RGB-D and ScanNet."""

import numpy as np
import pytest

from samplenet import InputError
from samplenet.data import boxed, rooms
from samplenet.data.shapes.mesh import turn


@pytest.fixture(scope="module")
def generated():
    return boxed.generated(3, "test", num_points=4000)


def test_a_generated_room_has_a_tight_box_around_each_piece():
    room = rooms.generate(0, num_points=20_000)
    assert len(room.boxes) == room.instances.max() + 1 == len(room.box_labels)
    for number, (box, label) in enumerate(zip(room.boxes, room.box_labels, strict=True)):
        own = room.instances == number
        assert (room.labels[own] == label).all()
        local = turn(room.points[own] - box[:3], -box[6], axis=2)
        assert (np.abs(local) <= box[3:6] / 2 + 1e-3).all()
        assert np.ptp(local, axis=0) == pytest.approx(box[3:6], rel=0.15)
    assert (room.labels[room.instances < 0] < 3).all()
    assert len(np.unique(room.boxes[:, 6])) > 1


def test_the_heading_of_a_piece_is_where_its_front_is():
    """The backrest of a sofa is behind its middle, and its seat before it."""
    found = 0
    for index in range(6):
        room = rooms.generate(index, num_points=20_000)
        for number in np.flatnonzero(room.box_labels == rooms.CLASSES.index("sofa")):
            box = room.boxes[number]
            own = turn(room.points[room.instances == number] - box[:3], -box[6], axis=2)
            upper = own[own[:, 2] > 0.3 * box[5]]  # backrest
            assert upper[:, 0].mean() < -0.1 * box[3]
            found += 1
    assert found > 2


def test_points_of_generated_rooms_vote_for_the_middle_of_their_box(generated):
    assert len(generated) == 3 and generated.turned
    room = generated[1]
    assert len(room.points) < 4000 and room.votes.shape == (len(room.points), 1, 3)
    assert room.points.dtype == room.boxes.dtype == np.float32
    z = room.points[:, 2]
    assert (z > z.max() - 0.06).mean() < 0.04  # walls end there, but no ceiling is
    aims = (room.points + room.votes[:, 0])[room.inside]
    distance = np.linalg.norm(aims[:, None] - room.boxes[:, :3], axis=2).min(1)
    assert distance.max() < 1e-5 and 100 < room.inside.sum() < 3000
    assert room.labels.max() < len(generated.classes) == 6


def test_templates_are_the_mean_sizes_of_the_classes():
    tables = {
        "a": (np.array([[0, 0, 0, 1, 2, 3, 0], [9, 9, 9, 4, 4, 4, 2]]), np.array([0, 1])),
        "b": (np.zeros((0, 7)), np.zeros(0, int)),
        "c": (np.array([[0, 0, 0, 3, 2, 1, 1]]), np.array([0])),
    }
    split = boxed.BoxedRooms([*tables], ("bed", "desk"), True, tables.get, None)
    np.testing.assert_array_equal(boxed.mean_sizes(split), [[2, 2, 2], [4, 4, 4]])
    split = boxed.BoxedRooms(["c"], ("bed", "desk", "sofa"), True, tables.get, None)
    with pytest.raises(InputError, match="the 1 training rooms have no box of desk, sofa"):
        boxed.mean_sizes(split)


@pytest.fixture
def sunrgbd(tmp_path):
    """A point in two objects, one in the second alone, one in none."""
    for part in ("train", "val"):
        folder = tmp_path / f"sunrgbd_pc_bbox_votes_50k_v1_{part}"
        folder.mkdir()
        cloud = np.array([[0, 0, 1, 0.5, 0.5, 0.5], [1, 0, 1, 0, 0, 0], [9, 9, 9, 1, 1, 1]])
        boxes = np.array([[0.1, 0, 1, 0.5, 1, 0.25, 0.3, 3], [0.5, 0, 1, 2, 1, 1, -3, 9]])
        votes = np.zeros((3, 10))
        votes[0] = (1, *(0.1, 0, 0), *(0.5, 0, 0), *(0.1, 0, 0))
        votes[1] = (1, *(-0.5, 0, 0) * 3)
        np.savez_compressed(folder / "000005_pc.npz", pc=cloud)
        np.savez_compressed(folder / "000005_votes.npz", point_votes=votes)
        np.save(folder / "000005_bbox.npy", boxes)
    np.save(folder / "000007_bbox.npy", np.zeros((0, 8)))
    return tmp_path


def test_sunrgbd_is_read_in_full_sizes_and_counter_clockwise(sunrgbd):
    split = boxed.load(sunrgbd, "train")
    assert len(split) == 1 and split.turned and split.classes[9] == "bathtub"
    room = split[0]
    np.testing.assert_allclose(room.boxes[0], [0.1, 0, 1, 1, 2, 0.5, -0.3], atol=1e-6)
    assert room.labels.tolist() == [3, 9] and room.inside.tolist() == [True, True, False]
    np.testing.assert_allclose(room.votes[0], [[0.1, 0, 0], [0.5, 0, 0], [0.1, 0, 0]], atol=1e-6)
    assert boxed.load(sunrgbd, "test").names == ["000005", "000007"]
    assert boxed.load(sunrgbd, "test").boxes("000007")[0].shape == (0, 7)


@pytest.fixture
def scannet(tmp_path):
    folder = tmp_path / "scannet_train_detection_data"
    folder.mkdir()
    for name in ("scene0000_00", "scene0001_00"):
        vertices = np.zeros((5, 6))
        vertices[:, :3] = [[0, 0, 0], [2, 4, 1], [1, 1, 0], [5, 5, 5], [7, 7, 7]]
        np.save(folder / f"{name}_vert.npy", vertices.astype(np.float32))
        np.save(folder / f"{name}_ins_label.npy", np.array([4, 4, 4, 2, 0], np.uint32))
        np.save(folder / f"{name}_sem_label.npy", np.array([5, 5, 5, 1, 0], np.uint32))
        np.save(folder / f"{name}_bbox.npy", np.array([[1, 2, 0.5, 2, 4, 1, 5.0]]))
    (tmp_path / "meta_data").mkdir()
    (tmp_path / "meta_data/scannetv2_train.txt").write_text("scene0001_00\nscene0999_00\n")
    (tmp_path / "meta_data/scannetv2_val.txt").write_text("scene0000_00\n")
    return tmp_path


def test_scannet_votes_for_the_middle_of_each_instance(scannet):
    split = boxed.load(scannet, "train")
    assert split.names == ["scene0001_00"] and not split.turned
    assert split.classes[2] == "chair" and len(split.classes) == 18
    room = split[0]
    assert room.boxes.tolist() == [[1, 2, 0.5, 2, 4, 1, 0]] and room.labels.tolist() == [2]
    assert room.inside.tolist() == [True, True, True, False, False]  # a wall is no object
    np.testing.assert_array_equal((room.points + room.votes[:, 0])[:3], [[1, 2, 0.5]] * 3)
    assert len(boxed.load(scannet, "test")) == 1


def test_what_is_wrong_with_a_file_is_said(sunrgbd, scannet, tmp_path):
    with pytest.raises(InputError, match="split must be 'train' or 'test', got 'val'"):
        boxed.load(sunrgbd, "val")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty has neither sunrgbd_pc_bbox_votes_50k_v1_train"):
        boxed.load(tmp_path / "empty", "train")
    folder = sunrgbd / "sunrgbd_pc_bbox_votes_50k_v1_train"
    np.savez(folder / "000005_votes.npz", point_votes=np.zeros((2, 10)))
    with pytest.raises(InputError, match=r"numbers \(n, 10 or more\), n = 3, got \(2, 10\)"):
        boxed.load_sunrgbd(folder)[0]
    (folder / "000005_pc.npz").write_bytes(b"PK no archive")
    with pytest.raises(InputError, match="000005_pc.npz cannot be read"):
        boxed.load_sunrgbd(folder)[0]
    np.savez(folder / "000005_pc.npz", points=np.zeros((3, 6)))
    with pytest.raises(InputError, match="000005_pc.npz cannot be read: .*pc"):
        boxed.load_sunrgbd(folder)[0]
    np.save(folder / "000005_bbox.npy", np.full((1, 8), 10.0))
    with pytest.raises(InputError, match="a box of class 10, which is none of the data"):
        boxed.load_sunrgbd(folder)[0]
    np.save(folder / "000005_bbox.npy", np.full((1, 8), np.nan))
    with pytest.raises(InputError, match="must hold finite numbers"):
        boxed.load_sunrgbd(folder)[0]
    (folder / "000005_bbox.npy").unlink()
    with pytest.raises(InputError, match="has no <room>_bbox.npy"):
        boxed.load_sunrgbd(folder)
    listing = scannet / "meta_data/scannetv2_train.txt"
    listing.write_text("scene0999_00\n")
    with pytest.raises(InputError, match="has no room of .*scannetv2_train.txt"):
        boxed.load_scannet(scannet / "scannet_train_detection_data", listing)
    listing.unlink()
    with pytest.raises(InputError, match="the list of a split's rooms, cannot be read"):
        boxed.load_scannet(scannet / "scannet_train_detection_data", listing)
