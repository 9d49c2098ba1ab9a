"""LAS and LAZ: dimensions, header and records; COPC and waveforms; from other formats."""

import numpy as np
import pytest

from samplenet import InputError, scans
from samplenet.scans import columns

laspy = pytest.importorskip("laspy", reason=".las and .laz need laspy")


def survey(format=3, version="1.2", points=20):
    header = laspy.LasHeader(point_format=format, version=version)
    header.offsets, header.scales = [500000, 5400000, 0], [0.001, 0.001, 0.001]
    las = laspy.LasData(header)
    rng = np.random.default_rng(0)
    las.x, las.y, las.z = (rng.uniform(0, 50, (3, points)).T + [500000, 5400000, 0]).T
    las.intensity, las.classification = np.arange(points), np.arange(points) % 5
    return las


@pytest.mark.parametrize("extension", [".las", ".laz"])
def test_dimensions_header_and_records_are_kept(tmp_path, extension):
    las = survey()
    las.red = np.arange(20) * 1000
    las.vlrs.append(laspy.VLR("mine", 7, "a record", b"kept"))
    las.write(tmp_path / f"a{extension}")
    scan = scans.read(tmp_path / f"a{extension}")
    idx = np.array([7, 2, 11])
    assert scans.write(tmp_path / f"b{extension}", scan.take(idx)) == []
    again = laspy.read(tmp_path / f"b{extension}")
    np.testing.assert_array_equal(
        np.stack([again.X, again.Y, again.Z], 1), np.stack([las.X, las.Y, las.Z], 1)[idx]
    )
    assert again.intensity.tolist() == [7, 2, 11] and np.asarray(again.classification).tolist() == [
        2,
        2,
        1,
    ]
    assert (
        again.header.scales.tolist() == [0.001] * 3 and again.header.version == las.header.version
    )
    assert [record.record_data_bytes() for record in again.vlrs if record.user_id == "mine"] == [
        b"kept"
    ]
    scans.write(tmp_path / "b.ply", scan.take(idx))
    rows = scans.read(tmp_path / "b.ply").rows
    np.testing.assert_array_equal(rows["x"], np.asarray(las.x)[idx])
    assert rows["red"].tolist() == [27, 7, 42]  # 16 bits -> 8


def test_copc_is_read_and_written_as_plain_laz(tmp_path):
    las = survey(6, "1.4")
    las.vlrs.append(laspy.VLR("copc", 1, "info", bytes(160)))
    las.evlrs = laspy.vlrs.vlrlist.VLRList([laspy.VLR("copc", 1000, "hierarchy", bytes(32))])
    las.write(tmp_path / "a.copc.laz")
    scan = scans.read(tmp_path / "a.copc.laz")
    assert scan.notes == ("read as plain LAZ: the octree of COPC is dropped",)
    scans.write(tmp_path / "b.copc.laz", scan.take(np.array([3, 1])))
    again = laspy.read(tmp_path / "b.copc.laz")
    assert again.X.tolist() == las.X[[3, 1]].tolist()
    assert not [record for record in [*again.vlrs, *again.evlrs] if record.user_id == "copc"]


def test_internal_waveforms_are_dropped_and_the_header_says_so(tmp_path):
    las = survey(4, "1.3")
    las.header.global_encoding.waveform_data_packets_internal = True
    las.header.start_of_waveform_data_packet_record = 99999
    las.write(tmp_path / "a.las")
    scan = scans.read(tmp_path / "a.las")
    assert scan.notes == ("waveforms are dropped",)
    scans.write(tmp_path / "b.las", scan.take(np.array([3, 1])))
    header = laspy.read(tmp_path / "b.las").header
    assert not header.global_encoding.waveform_data_packets_internal
    assert header.start_of_waveform_data_packet_record == 0


def test_rows_from_elsewhere_are_written_with_their_columns(tmp_path, rows):
    rows["x"] += 1e-7
    with pytest.raises(InputError, match="has no NaN or infinity"):
        broken = rows.copy()
        broken["x"][0] = np.nan
        scans.write(tmp_path / "a.las", scans.Scan(broken))
    notes = scans.write(tmp_path / "a.las", scans.Scan(rows))
    assert notes[-1].startswith("x, y, z are multiples of 1e-07 in .las, rounded by up to 4.")
    assert "colours: 0 to 255 became 0 to 65535 in .las" in notes
    las = laspy.read(tmp_path / "a.las")
    assert las.header.version == "1.4" and las.point_format.id == 7
    np.testing.assert_array_equal(las.red, rows["red"].astype(int) * 257)
    np.testing.assert_array_equal(las["label"], rows["label"])
    assert las["label"].dtype == np.int32 and las["time"].dtype == np.float64
    unit = rows.copy()
    unit["intensity"] = np.linspace(0, 1, 7)
    assert "intensity: 0 to 1 became 0 to 65535 in .las, rounded" in scans.write(
        tmp_path / "b.las", scans.Scan(unit)
    )
    wide = np.zeros(2, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("classification", "i4")])
    wide["classification"] = 300
    with pytest.raises(
        InputError,
        match=".las has a standard dimension classification for smaller numbers; rename",
    ):
        scans.write(tmp_path / "c.las", scans.Scan(wide))


def test_headers_that_lie_are_refused_at_once(tmp_path):
    survey().write(tmp_path / "a.las")
    content = (tmp_path / "a.las").read_bytes()
    for at, words in (
        (107, "it promises 4294967295 points"),
        (100, "it promises 4294967295 records"),
    ):
        changed = content[:at] + b"\xff" * 4 + content[at + 4 :]
        (tmp_path / "b.las").write_bytes(changed)
        with pytest.raises(
            InputError, match=rf"b\.las is damaged or cut off: {words}, more than it can hold"
        ):
            scans.read(tmp_path / "b.las")
    for size, words in (
        (2, "does not begin with 'LASF'"),
        (100, "ends within its header"),
        (500, "20 points, more than"),
    ):
        (tmp_path / "b.las").write_bytes(content[:size])
        with pytest.raises(InputError, match=words):
            scans.read(tmp_path / "b.las")


def test_columns_that_are_called_like_parts_of_laspy_change_nothing_else(tmp_path, rows):
    plain = {"x": np.arange(5.0), "y": np.arange(5.0), "z": np.arange(5.0)}
    others = {name: np.full(5, 7.0) for name in ("X", "header", "points", "array", "bit_fields")}
    notes = scans.write(tmp_path / "a.las", scans.Scan(columns.rows_of({**plain, **others}), "npz"))
    scan = scans.read(tmp_path / "a.las")
    assert scan.points.tolist() == np.stack(list(plain.values()), 1).tolist()
    assert [scan.rows[f"{name}_"].tolist() for name in others] == [[7.0] * 5] * 5
    assert "X: written as X_ in .las" in notes
