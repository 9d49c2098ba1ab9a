"""Archives that are damaged, lie, or reach outside their folder."""

import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile

import pytest

from samplenet.data import archive as archives
from samplenet.errors import InputError


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_extracts_with_the_usual_permissions(tmp_path):
    archive = make_zip(
        tmp_path / "a.zip", [("top/", b""), ("top/x.txt", b"x"), ("top/deep/y.txt", b"y")]
    )
    folder = archives.extract(archive, tmp_path / "out", 2)
    assert (folder / "top/x.txt").read_bytes() + (folder / "top/deep/y.txt").read_bytes() == b"xy"
    (tmp_path / "plain").mkdir()
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert leftovers(tmp_path) == ["a.zip", "out", "plain"]


def link(name):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    "member",
    ["/etc/evil", "../evil", "a/../../evil", "..\\evil", "C:/evil", "a\\b", link("evil")],
    ids=str,
)
def test_hostile_member_is_refused(member, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = make_zip(tmp_path / "a.zip", [("good", b"x"), (member, b"/etc/passwd")])
    with pytest.raises(InputError, match=r"a\.zip"):
        archives.extract(archive, inside / "out", 1000)
    assert leftovers(inside) == [] and leftovers(tmp_path) == ["a.zip", "inside"]


@pytest.mark.parametrize("names", [["a", "a"], ["a", "a/b"]])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_in_one_place_are_refused(names, tmp_path):
    archive = make_zip(tmp_path / "a.zip", [(name, b"x") for name in names])
    with pytest.raises(InputError, match=r"a\.zip"):
        archives.extract(archive, tmp_path / "out", 1000)
    assert leftovers(tmp_path) == ["a.zip"]


def test_bound_on_the_number_of_files(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", [("x", b""), ("y", b"")])
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(InputError, match="holds 2 files, more than 1"):
        archives.extract(archive, tmp_path / "out", 1000)
    assert leftovers(tmp_path) == ["a.zip"]


def test_bound_on_the_size(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("x", bytes(600)), ("y", bytes(400))])
    with pytest.raises(InputError, match="more than 999 bytes"):
        archives.extract(archive, tmp_path / "out", 999)
    assert leftovers(tmp_path) == ["a.zip"]
    assert archives.extract(archive, tmp_path / "out", 1000).is_dir()


def test_header_that_understates_a_size(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("x", bytes(5000))])
    content = archive.read_bytes()
    archive.write_bytes(content.replace(struct.pack("<L", 5000), struct.pack("<L", 10)))
    with pytest.raises(InputError, match=r"a\.zip is damaged"):
        archives.extract(archive, tmp_path / "out", 1000)
    assert leftovers(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty"])
def test_damaged_archive(damage, tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("x", os.urandom(5000))])
    content = archive.read_bytes()
    flipped = content[:2000] + bytes([content[2000] ^ 255]) + content[2001:]
    archive.write_bytes(
        {"cut": content[:3000], "flipped": flipped, "text": b"no zip", "empty": b""}[damage]
    )
    with pytest.raises(InputError, match=r"a\.zip is damaged"):
        archives.extract(archive, tmp_path / "out", 10_000)
    assert leftovers(tmp_path) == ["a.zip"]


def test_folder_in_the_way_is_kept(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("x", b"new")])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_bytes(b"mine")
    with pytest.raises(InputError, match="out is in the way"):
        archives.extract(archive, tmp_path / "out", 1000)
    assert (tmp_path / "out/x").read_bytes() == b"mine"


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            if isinstance(member, str):
                member = tarfile.TarInfo(member)
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def special(kind, name="evil"):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


def test_a_tar_archive_is_extracted(tmp_path):
    top = special(tarfile.DIRTYPE, "./top")
    archive = make_tar(tmp_path / "a.tar.gz", [(top, b""), ("./top/x", b"x"), ("deep/er/y", b"y")])
    folder = archives.extract(archive, tmp_path / "out", 2)
    assert (folder / "top/x").read_bytes() + (folder / "deep/er/y").read_bytes() == b"xy"
    assert leftovers(tmp_path) == ["a.tar.gz", "out"]
    with pytest.raises(InputError, match="out is in the way"):
        archives.extract(archive, tmp_path / "out", 2)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("/etc/evil", b"x")], "points outside"),
        ([("a/../../evil", b"x")], "points outside"),
        ([(special(tarfile.SYMTYPE), b"")], "link or device"),
        ([(special(tarfile.LNKTYPE), b"")], "link or device"),
        ([(special(tarfile.FIFOTYPE), b"")], "link or device"),
        ([("a", b"x"), ("a", b"y")], "File exists"),
        ([("a", bytes(600)), ("b", bytes(401))], "more than 1000 bytes"),
        ([(str(i), b"") for i in range(4)], "more than 3 files"),
    ],
)
def test_hostile_tar_archives_are_refused(members, message, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = make_tar(tmp_path / "a.tar.gz", members)
    with pytest.raises(InputError, match=rf"a\.tar\.gz.*{message}"):
        archives.extract(archive, inside / "out", 1000)
    assert leftovers(inside) == [] and leftovers(tmp_path) == ["a.tar.gz", "inside"]


@pytest.mark.parametrize("damage", ["cut", "short", "flipped", "text", "empty"])
def test_damaged_tar_archive(damage, tmp_path):
    archive = make_tar(tmp_path / "a.tar.gz", [("x", os.urandom(50_000))])
    content = archive.read_bytes()
    flipped = content[:2000] + bytes([content[2000] ^ 255]) + content[2001:]
    parts = {"cut": content[:30_000], "short": content[:-1], "flipped": flipped}
    archive.write_bytes({**parts, "text": b"no tar", "empty": b""}[damage])
    with pytest.raises(InputError, match=r"a\.tar\.gz is damaged"):
        archives.extract(archive, tmp_path / "out", 100_000)
    assert leftovers(tmp_path) == ["a.tar.gz"]


THREE = [(name, name.encode() * 700) for name in "abc"]  # a header and two blocks each


def zero(content, start, length=512):
    return content[:start] + bytes(length) + content[start + length :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tar: tar[:1540] + b"?" + tar[1541:], "byte 1536: bad checksum"),
        (lambda tar: tar[:3076] + b"?" + tar[3077:], "byte 3072: bad checksum"),
        (lambda tar: zero(tar, 1536), "more after the end marker"),
        (lambda tar: tar[:1536], "byte 1536: empty header"),
        (lambda tar: tar[:1700], "byte 1536: truncated header"),
        (lambda tar: tar[:2100], "unexpected end of data"),
        (lambda tar: tar[:4608], "byte 4608: empty header"),  # only the end marker is missing
        (lambda tar: tar + tar, "more after the end marker"),
    ],
)
def test_a_tar_archive_that_ends_early_is_damaged(change, message, tmp_path):
    archive = make_tar(tmp_path / "a.tar.gz", THREE)
    archive.write_bytes(gzip.compress(change(gzip.decompress(archive.read_bytes()))))
    with pytest.raises(InputError, match=rf"a\.tar\.gz is damaged \(.*{message}"):
        archives.extract(archive, tmp_path / "out", 10_000)
    assert leftovers(tmp_path) == ["a.tar.gz"]


def pax(**headers):
    member = tarfile.TarInfo("x")
    member.pax_headers = headers
    return member


def test_headers_count_as_bytes(tmp_path):
    name = special(tarfile.GNUTYPE_LONGNAME, "././@LongLink")
    name.size = 8 << 20
    archive = make_tar(tmp_path / "a.tar.gz", [(name, bytes(name.size)), ("x", b"x")])
    with pytest.raises(InputError, match="holds far more than its files"):
        archives.extract(archive, tmp_path / "out", 1000)
    long = [(f"{'long/' * 40}{i}", b"x") for i in range(600)]  # 2 KiB of headers for each
    archives.extract(make_tar(tmp_path / "b.tar.gz", long), tmp_path / "out", 1000)


@pytest.mark.parametrize(
    "headers", [{"path": "a\0b"}, {"GNU.sparse.size": "zz", "GNU.sparse.map": "0,1"}]
)
def test_bad_extended_headers_are_damage(headers, tmp_path):
    archive = make_tar(tmp_path / "a.tar.gz", [(pax(**headers), b"")])
    with pytest.raises(InputError, match=r"a\.tar\.gz is damaged"):
        archives.extract(archive, tmp_path / "out", 1000)
    assert leftovers(tmp_path) == ["a.tar.gz"]


def test_headers_of_headers_are_damage(tmp_path):
    name = special(tarfile.GNUTYPE_LONGNAME, "././@LongLink")
    archive = make_tar(tmp_path / "a.tar.gz", [(name, b"")] * 1500)
    with pytest.raises(InputError, match=r"a\.tar\.gz is damaged"):
        archives.extract(archive, tmp_path / "out", 1000)


def test_another_compression_is_damage(tmp_path):
    archive = make_tar(tmp_path / "a.tar.gz", [("x", os.urandom(50_000))])
    content = bytearray(lzma.compress(gzip.decompress(archive.read_bytes())))
    content[-30] ^= 255  # damaged too, or else tarfile could read it
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tar\.gz is damaged"):
        archives.extract(archive, tmp_path / "out", 100_000)


def test_what_a_killed_process_left_is_deleted(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("x", b"new")])
    (tmp_path / ".out.abcd_123/out").mkdir(parents=True)
    (tmp_path / ".out.er.abcd_123").mkdir()
    faults = lambda folder: [] if (folder / "x").is_file() else ["x"]  # noqa: E731
    archives.ensure_folder(tmp_path / "out", faults, lambda: archive, lambda *_: None, 1000)
    assert (tmp_path / "out/x").read_bytes() == b"new"
    assert [path.name for path in tmp_path.glob(".*")] == [".out.er.abcd_123"]
