"""Samples in files: they come back as a sampler, others' folders are read, faults are reported."""

import functools
import logging
import os

import h5py
import numpy as np
import pytest
import yaml

from samplenet.data import modelnet40, ply, saved_index, saved_samples
from samplenet.data.clouds import Clouds
from samplenet.data.saved_layouts import MODELNET40, SHAPENET
from samplenet.data.saved_samples import Originals
from samplenet.errors import InputError

N, M = 12, 5
LABELS = np.array([0, 1, 1, 0])
IDX = np.stack([np.random.default_rng(i).permutation(N)[:M] for i in range(4)]).astype(np.int32)
NUMBERS = np.arange(4)


def clouds(seed=0, ids=("chair/a", "car/b", "car/c", "chair/d")):
    points = np.random.default_rng(seed).normal(size=(4, N, 3)).astype(np.float32)
    return Clouds(points, LABELS, ("chair", "car"), list(ids))


def picked(test, idx=IDX):
    return np.stack([cloud[rows] for cloud, rows in zip(test.points, idx, strict=True)])


ORIGINALS = {
    "modelnet40": Originals({"": clouds()}, MODELNET40),
    "shapenet": Originals({"": clouds()}, SHAPENET),
    "built-in": Originals({"": clouds(ids=["chair_1", "car_1", "car_2", "chair_2"])}, SHAPENET),
    "pairs": Originals({"template": clouds(1), "source": clouds(2)}, MODELNET40),
}


@pytest.fixture(params=["modelnet40", "shapenet"])
def layout(request):
    return ORIGINALS[request.param]


def save(root, test, **more):
    return saved_samples.write(root, "mine", 3, test, idx=[IDX] * len(test.parts), **more)


def read(folder, test):
    (saved,) = saved_samples.read([folder], test)
    return saved


@pytest.mark.parametrize("test", ORIGINALS.values(), ids=ORIGINALS)
def test_round_trip(tmp_path, test):
    parts = len(test.parts)
    idx = [np.roll(IDX, p, 1) for p in range(parts)]
    folder = saved_samples.write(tmp_path, "mine", 3, test, idx=idx)
    assert folder == tmp_path / "mine-5-seed3" and os.listdir(tmp_path) == ["mine-5-seed3"]
    saved = read(folder, test)
    assert (saved.name, saved.m, saved.seed, saved.ordered, saved.project) == (
        "mine",
        M,
        3,
        False,
        None,
    )
    for p, part in enumerate(test.parts.values()):
        for some in (NUMBERS, NUMBERS[2:], NUMBERS[::-1]):  # any batch of them
            sampled = saved(None, parts * some + p)
            np.testing.assert_array_equal(sampled.idx, idx[p][some])
            np.testing.assert_array_equal(sampled.points, picked(part, idx[p])[some])
            assert sampled.queries is None and sampled.points.dtype == np.float32


def test_the_folder_is_a_data_set_of_its_layout(tmp_path):
    folder, test = save(tmp_path, ORIGINALS["modelnet40"]), clouds()
    found = modelnet40.load(folder, "test", M)
    np.testing.assert_array_equal(found.points, picked(test))
    assert (found.ids, found.names, found.labels.tolist()) == (
        test.ids,
        test.names,
        LABELS.tolist(),
    )
    with h5py.File(folder / "ply_data_test0.h5") as h5:
        assert h5["index"].dtype == np.int32 and np.array_equal(h5["index"], IDX)
    expected = {"sampler": "mine", "m": M, "seed": 3, "ordered": False, "protocol": "matched"}
    assert yaml.safe_load((folder / "sampler.yaml").read_text()) == expected
    folder = saved_samples.write(tmp_path / "ply", "mine", 3, ORIGINALS["built-in"], idx=[IDX])
    assert sorted(path.name for path in folder.iterdir()) == [
        "car",
        "chair",
        "indices.npz",
        "sampler.yaml",
    ]
    found = ply.read_folder(folder / "car", ())
    assert found.names == ["car_1", "car_2"] and np.array_equal(
        found.first([0, 1], M), picked(test)[1:3]
    )


def test_an_ordered_one_holds_every_size(tmp_path, layout):
    order = np.stack([np.random.default_rng(i).permutation(N) for i in range(4)])
    folder = saved_samples.write(tmp_path, "mine", 3, layout, idx=[order], ordered=True)
    assert folder.name == "mine-ordered-seed3"
    saved = read(folder, layout)
    assert saved.ordered and saved.m == N
    sampled = saved.first(2)(None, NUMBERS)
    np.testing.assert_array_equal(sampled.idx, order[:, :2])
    np.testing.assert_array_equal(sampled.points, picked(clouds(), order[:, :2]))
    assert (saved.first(2).m, saved.first(2).name) == (2, "mine")


def test_without_sampler_yaml_the_folder_gives_the_name(tmp_path, layout):
    folder = save(tmp_path, layout)
    (folder / "sampler.yaml").unlink()
    saved = read(folder.rename(tmp_path / "theirs"), layout)
    assert (saved.name, saved.m, saved.seed, saved.ordered) == ("theirs", M, 0, False)
    np.testing.assert_array_equal(saved.idx, IDX)


def drop_index(folder):
    """Leave out the indices and what sampler.yaml says of the protocol."""
    (folder / "sampler.yaml").unlink()
    (folder / "indices.npz").unlink(missing_ok=True)
    for file in folder.glob("**/*.h5"):
        with h5py.File(file, "r+") as h5:
            del h5["index"]


def test_without_an_index_points_are_found_again(tmp_path, layout):
    folder = save(tmp_path, layout)
    drop_index(folder)
    np.testing.assert_array_equal(read(folder, layout).idx, IDX)


def test_equal_points_of_a_cloud_are_distinguished():
    cloud = np.zeros((1, 4, 3), np.float32)
    cloud[0, 1] = 1
    twice = cloud[:, [2, 1, 3]]
    assert saved_index.search(twice, cloud).tolist() == [
        [0, 1, 2]
    ]  # equal points: first come, first picked
    once = cloud[:, [1, 1]]  # there is one such point only
    assert saved_index.search(once, cloud).tolist() == [[-1, -1]]
    assert saved_index.search(-cloud[:, [0]], cloud).tolist() == [[0]]  # -0 is 0


@pytest.mark.parametrize("change", ["another point", "the same point twice"])
def test_points_that_are_no_subset_are_generated(tmp_path, layout, change, caplog):
    points = picked(clouds())
    points[2, 1] = points[2, 1] + np.float32(1e-6) if change == "another point" else points[2, 0]
    folder = saved_samples.write(tmp_path, "mine", 3, layout, points=[points])
    assert yaml.safe_load((folder / "sampler.yaml").read_text())["protocol"] == "generated"
    with caplog.at_level(logging.WARNING):
        saved = read(folder, layout)
    assert saved.idx is None and saved(None, NUMBERS).idx is None
    np.testing.assert_array_equal(saved(None, NUMBERS).points, points)
    assert "1 samples of 4 are no subsets" in caplog.text and "cloud 2 (car/c)" in caplog.text


def test_one_generated_cloud_of_a_pair_makes_the_pair_generated(tmp_path):
    test = ORIGINALS["pairs"]
    points = [picked(test.parts["template"]), picked(test.parts["source"]) + 1]
    saved = read(saved_samples.write(tmp_path, "mine", 3, test, points=points), test)
    assert saved.idx is None
    np.testing.assert_array_equal(saved(None, 2 * NUMBERS + 1).points, points[1])


def test_a_folder_of_several(tmp_path, layout):
    for name in ("b", "a"):
        saved_samples.write(tmp_path, name, 0, layout, idx=[IDX])
    (tmp_path / ".hidden").mkdir()
    assert [saved.name for saved in saved_samples.read([tmp_path], layout)] == ["a", "b"]
    names = [saved.name for saved in saved_samples.read([tmp_path / "b-5-seed0", tmp_path], layout)]
    assert names == ["b", "a"]  # once, though named twice
    (tmp_path / "notes").mkdir()
    with pytest.raises(InputError, match="notes"):  # perhaps samples without their files
        saved_samples.read([tmp_path], layout)


def test_what_is_there_is_kept(tmp_path, layout):
    folder = save(tmp_path, layout)
    before = (folder / "sampler.yaml").stat()
    with pytest.raises(
        InputError,
        match="mine-5-seed3 is there already; remove it, or choose another --save-samples",
    ):
        save(tmp_path, layout)
    assert (folder / "sampler.yaml").stat() == before and os.listdir(tmp_path) == [folder.name]


def test_nothing_half_written_is_left(tmp_path, layout, monkeypatch):
    def full(*args):
        raise OSError("disk full")

    monkeypatch.setattr(saved_samples.settings, "dump", full)
    with pytest.raises(OSError, match="disk full"):
        save(tmp_path, layout)
    assert os.listdir(tmp_path) == []


# faults


def h5_data(key, change):
    """A fault: dataset `key` of the h5 file goes through `change`; None removes it."""

    def do(folder):
        with h5py.File(folder / "ply_data_test0.h5", "r+") as h5:
            array = change(h5[key][()])
            del h5[key]
            if array is not None:
                h5[key] = array

    return do


def npz(**changes):
    """A fault: these arrays of indices.npz go through their functions."""

    def do(folder):
        with np.load(folder / "indices.npz") as stored:
            arrays = {key: changes.get(key, lambda a: a)(array) for key, array in stored.items()}
        np.savez(
            folder / "indices.npz",
            **{key: array for key, array in arrays.items() if array is not None},
        )

    return do


def header(**values):
    return lambda folder: (folder / "sampler.yaml").write_text(
        yaml.safe_dump({"sampler": "mine", **values})
    )


def put(at, value):
    def change(array):
        array[at] = value
        return array

    return change


def remove(name):
    return lambda folder: (folder / name).unlink()


def cut(name, size=-40):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def sampler_of(content):
    return lambda folder: (folder / "car" / "b.ply").write_bytes(content)


def both(*faults):
    return lambda folder: [fault(folder) for fault in faults]


def points(array):
    return sampler_of(ply.encode(array))


def other_cloud(folder):
    (folder / "car" / "x.ply").write_bytes(ply.encode(np.ones((M, 3))))


def too_many_points(folder):
    for file in folder.glob("*/*.ply"):
        file.write_bytes(ply.encode(np.zeros((N + 1, 3))))


def no_cars(folder):
    for file in (folder / "car").iterdir():
        file.unlink()


data, index = functools.partial(h5_data, "data"), functools.partial(h5_data, "index")
first_three, with_a_repeat = (lambda a: a[:3]), (lambda a: a[[0, 1, 2, 3, 0]])
IDS = "ply_data_test_0_id2file.json"
SWAPPED = put(1, IDX[1, [1, 0, 2, 3, 4]])

HEADER_FAULTS = {
    "unknown key": (header(sead=1), r"sampler\.yaml: unknown key 'sead'; did you mean 'seed'"),
    "no YAML": (text("sampler.yaml", "sampler: ["), r"sampler\.yaml is not a YAML file"),
    "a word as seed": (header(seed="x"), r"sampler\.yaml: seed must be int, got 'x'"),
    "negative seed": (header(seed=-1), "seed must be at least 0, got -1"),
    "m = 0": (header(m=0), "m must be at least 1, got 0"),
    "other m": (header(m=4), r"samples of 5 points, not 4; correct sampler\.yaml or the samples"),
    "reserved name": (header(sampler="none"), "must be of letters.* not none or icp; got 'none'"),
    "a path as name": (header(sampler="../x"), r"sampler must be of letters.*got '\.\./x'"),
    "unknown protocol": (header(protocol="soft"), "one of matched, generated, got 'soft'"),
}
H5_FAULTS = {
    "another number": (
        both(data(first_three), index(first_three), h5_data("label", first_three), remove(IDS)),
        "of 3 clouds, the test set has 4; give all",
    ),
    "other labels": (
        h5_data("label", put(2, 0)),
        "cloud 2 is 'chair', the test set's 'car'; write .* in the order",
    ),
    "other ids": (
        text(IDS, '["chair/a", "car/c", "car/b", "chair/d"]'),
        "cloud 1 is 'car/c', the test set's 'car/b'; write .* in the order",
    ),
    "NaN": (data(put((1, 2, 0), np.nan)), r"ply_data_test0\.h5.*not finite in cloud 1"),
    "wrong shape": (data(lambda a: a[..., :2]), r"'data' of float32 \(4, 5, 2\) .*: make them"),
    "m > N": (
        data(lambda a: np.zeros((4, N + 1, 3), np.float32)),
        r"13 points: m must be in .*\[1, 12\]",
    ),
    "m = 0 points": (data(lambda a: a[:, :0]), r"samples of 0 points: m must be in .*\[1, 12\]"),
    "index too large": (
        index(put((2, 1), N)),
        r"cloud 2 \(car/c\): the index must be in \[0, 12\), got 12",
    ),
    "negative index": (
        index(put((2, 1), -1)),
        r"cloud 2 \(car/c\): the index must be in \[0, 12\), got -1",
    ),
    "repeated index": (
        index(put((3, 4), IDX[3, 0])),
        rf"cloud 3 .*the index holds {IDX[3, 0]} twice",
    ),
    "index of other points": (
        index(SWAPPED),
        rf"cloud 1 \(car/b\): point 0 is not point {IDX[1, 1]} of the test cloud, as its index",
    ),
    "index of another shape": (
        index(lambda a: a[:, :4]),
        r"the index must .* of shape \(4, 5\).*\(4, 4\)",
    ),
    "index of one number": (index(lambda a: np.int32(1)), r"index must .* of shape \(4, 5\)"),
    "index of floats": (index(lambda a: a * 1.0), "must be whole numbers .* got float64"),
    "no label": (h5_data("label", lambda a: None), "no dataset 'label'"),
    "cut off": (cut("ply_data_test0.h5", 900), r"ply_data_test0\.h5 cannot be read as HDF5"),
    "missing file": (remove("ply_data_test0.h5"), r"holds no file 'ply_data_test0\.h5'"),
    "missing list": (remove("test_files.txt"), r"test_files\.txt is missing"),
    "missing names": (remove("shape_names.txt"), r"shape_names\.txt is missing"),
    "said to be matched": (
        both(index(lambda a: None), data(put((1, 2, 0), 9))),
        r"cloud 1 \(car/b\): the sample is not of distinct points .* says matched",
    ),
}
PLY_FAULTS = {
    "missing file": (remove("car/b.ply"), "lacks car/b, one of 1 test clouds"),
    "missing class": (no_cars, "lacks car/b, one of 2 test clouds"),
    "another cloud": (other_cloud, "holds car/x, which is not in the test set"),
    "cut off": (cut("car/b.ply"), r"car/b\.ply is cut off.*write it again"),
    "empty file": (sampler_of(b""), r"car/b\.ply is not a PLY file"),
    "NaN": (points(np.full((M, 3), np.nan)), r"car/b\.ply .*not finite in point 0"),
    "no points": (points(np.zeros((0, 3))), r"car/b\.ply has 0 points"),
    "fewer points": (points(np.zeros((M - 1, 3))), r"car/b\.ply has 4 points, chair/a\.ply 5"),
    "m > N": (too_many_points, r"13 points: m must be in .*\[1, 12\]"),
    "index too large": (
        npz(index=put((2, 1), N)),
        r"cloud 2 \(car/c\): the index must be in \[0, 12\), got 12",
    ),
    "repeated index": (
        npz(index=put((3, 4), IDX[3, 0])),
        rf"cloud 3 .*the index holds {IDX[3, 0]} twice",
    ),
    "index of other points": (npz(index=SWAPPED), r"cloud 1 \(car/b\): point 0 is not point"),
    "index of another shape": (
        npz(index=lambda a: a[:, :4]),
        r"the index must .* of shape \(4, 5\).*\(4, 4\)",
    ),
    "index lacks a cloud": (
        npz(ids=first_three, index=first_three),
        r"indices\.npz lacks chair/d",
    ),
    "index names a cloud twice": (
        npz(ids=with_a_repeat, index=with_a_repeat),
        r"indices\.npz names a cloud more than once",
    ),
    "index without ids": (
        npz(ids=lambda a: None),
        r"indices\.npz is damaged or lacks ids or index",
    ),
    "fewer ids": (npz(ids=first_three), r"indices\.npz is damaged or lacks ids or index"),
    "objects": (npz(ids=lambda a: a.astype(object)), r"indices\.npz is damaged"),
    "index cut off": (cut("indices.npz"), r"indices\.npz is damaged"),
    "index empty": (text("indices.npz", ""), r"indices\.npz is damaged"),
}


@pytest.mark.parametrize(
    "kind, case",
    [
        *((kind, case) for kind in ("modelnet40", "shapenet") for case in HEADER_FAULTS),
        *(("modelnet40", case) for case in H5_FAULTS),
        *(("shapenet", case) for case in PLY_FAULTS),
    ],
)
def test_faults_are_reported(tmp_path, kind, case):
    folder = save(tmp_path, ORIGINALS[kind])
    faults = HEADER_FAULTS | (H5_FAULTS if kind == "modelnet40" else PLY_FAULTS)
    break_it, words = faults[case]
    break_it(folder)
    with pytest.raises(InputError, match=words):
        saved_samples.read([folder], ORIGINALS[kind])


def test_the_order_of_indices_npz_makes_no_difference(tmp_path):
    folder = save(tmp_path, ORIGINALS["shapenet"])
    npz(ids=lambda a: a[::-1], index=lambda a: a[::-1])(folder)
    np.testing.assert_array_equal(read(folder, ORIGINALS["shapenet"]).idx, IDX)


def test_samples_in_several_files(tmp_path):
    folder = save(tmp_path, ORIGINALS["modelnet40"])
    whole = folder / "ply_data_test0.h5"
    with h5py.File(whole) as h5:
        arrays = {key: array[()] for key, array in h5.items()}
    for i, rows in enumerate((slice(0, 1), slice(1, 4))):
        with h5py.File(folder / f"part{i}.h5", "w") as h5:
            for key, array in arrays.items():
                h5[key] = array[rows]
    (folder / "test_files.txt").write_text("part0.h5\npart1.h5\n")
    np.testing.assert_array_equal(read(folder, ORIGINALS["modelnet40"]).idx, IDX)
    with h5py.File(folder / "part1.h5", "r+") as h5:
        del h5["index"]
    with pytest.raises(InputError, match=r"part1\.h5 has no dataset 'index' and other files have"):
        read(folder, ORIGINALS["modelnet40"])
    with h5py.File(folder / "part1.h5", "r+") as h5:
        del h5["data"]
        h5["data"] = arrays["data"][1:, :4]
    with pytest.raises(InputError, match=r"part1\.h5 has 4 points a cloud, the files before it 5"):
        read(folder, ORIGINALS["modelnet40"])


def test_faults_of_pairs_name_the_cloud_of_the_pair(tmp_path):
    test = ORIGINALS["pairs"]
    folder = save(tmp_path, test)
    h5_data("index", put((2, 1), N))(folder / "source")
    with pytest.raises(
        InputError, match=r"mine-5-seed3/source, cloud 2 \(car/c\): the index must be in"
    ):
        read(folder, test)
    (folder / "source").rename(tmp_path / "gone")
    with pytest.raises(InputError, match="source is missing; give the samples of the sources too"):
        read(folder, test)
    saved_samples.write(tmp_path / "other", "mine", 3, test, idx=[IDX[:, :2], IDX[:, :2]])
    (tmp_path / "other" / "mine-2-seed3" / "source").rename(folder / "source")
    with pytest.raises(InputError, match="source has samples of 2 points, not 5"):
        read(folder, test)


def test_folders_that_hold_nothing(tmp_path, layout):
    with pytest.raises(InputError, match="--samples: .*nowhere is not a folder"):
        saved_samples.read([tmp_path / "nowhere"], layout)
    with pytest.raises(InputError, match=f"--samples: {tmp_path} holds no samples"):
        saved_samples.read([tmp_path], layout)
