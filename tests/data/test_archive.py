"""Archives that are damaged, lie, or reach outside their folder."""

import os
import stat
import struct
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
    folder = archives.extract_zip(archive, tmp_path / "out", 2)
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
        archives.extract_zip(archive, inside / "out", 1000)
    assert leftovers(inside) == [] and leftovers(tmp_path) == ["a.zip", "inside"]


@pytest.mark.parametrize("names", [["a", "a"], ["a", "a/b"]])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_in_one_place_are_refused(names, tmp_path):
    archive = make_zip(tmp_path / "a.zip", [(name, b"x") for name in names])
    with pytest.raises(InputError, match=r"a\.zip"):
        archives.extract_zip(archive, tmp_path / "out", 1000)
    assert leftovers(tmp_path) == ["a.zip"]


def test_bound_on_the_number_of_files(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", [("x", b""), ("y", b"")])
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(InputError, match="holds 2 files, more than 1"):
        archives.extract_zip(archive, tmp_path / "out", 1000)
    assert leftovers(tmp_path) == ["a.zip"]


def test_bound_on_the_size(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("x", bytes(600)), ("y", bytes(400))])
    with pytest.raises(InputError, match="more than 999 bytes"):
        archives.extract_zip(archive, tmp_path / "out", 999)
    assert leftovers(tmp_path) == ["a.zip"]
    assert archives.extract_zip(archive, tmp_path / "out", 1000).is_dir()


def test_header_that_understates_a_size(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("x", bytes(5000))])
    content = archive.read_bytes()
    archive.write_bytes(content.replace(struct.pack("<L", 5000), struct.pack("<L", 10)))
    with pytest.raises(InputError, match=r"a\.zip is damaged"):
        archives.extract_zip(archive, tmp_path / "out", 1000)
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
        archives.extract_zip(archive, tmp_path / "out", 10_000)
    assert leftovers(tmp_path) == ["a.zip"]


def test_folder_in_the_way_is_kept(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("x", b"new")])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_bytes(b"mine")
    with pytest.raises(InputError, match="out is in the way"):
        archives.extract_zip(archive, tmp_path / "out", 1000)
    assert (tmp_path / "out/x").read_bytes() == b"mine"
