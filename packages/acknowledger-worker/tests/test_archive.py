from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from acknowledger_worker import ArtifactInvalid, archive

LINK = stat.S_IFLNK | 0o777


def zipped(path: Path, *entries: tuple[str, str] | tuple[str, str, int]) -> Path:
    """A zip file of (name, content, mode), with names as they are."""
    made = path / "made.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content, *mode in entries:
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            entry.external_attr = (mode[0] if mode else 0) << 16
            opened.writestr(entry, content)
    return made


def everything_below(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): f"-> {path.readlink()}"
        if path.is_symlink()
        else path.read_text()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("../out", "")], "'../out' leaves"),
        ([("a/../../out", "")], "leaves the folder"),
        ([("/out", "")], "'/out' leaves"),
        ([("..\\out", "")], "leaves the folder"),
        ([("C:out", "")], "leaves the folder"),
        ([("\\\\host\\share\\out", "")], "leaves the folder"),
        ([("out", "..", LINK)], "is a link that leaves"),
        ([("out", "/etc", LINK)], "is a link that leaves"),
        ([("in", ".", LINK), ("out", "in/../..", LINK)], "is a link that leaves"),
        ([("a/b", "..", LINK), ("out", "a/b/..", LINK)], "is a link that leaves"),
        ([("out", "..", LINK), ("out/file", "")], "can't be unpacked"),
        ([("out/file", ""), ("out", "..", LINK)], "can't be unpacked"),
        ([("out", "..", LINK), ("out/in", "file", LINK)], "can't be unpacked"),
        ([("pipe", "", stat.S_IFIFO | 0o644)], "neither a file, a folder nor a link"),
        ([("file", "x" * 2001)], "more than 2000 bytes"),
        ([("a", "x" * 1001), ("b", "x" * 1000)], "more than 2000 bytes"),
    ],
)
def test_what_would_leave_the_folder_or_fill_the_disk_is_refused(tmp_path, entries, words):
    made, inside = zipped(tmp_path, *entries), tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(ArtifactInvalid, match=words):
        archive.unpack(made, inside / "folder", 2000)
    assert [path.name for path in inside.iterdir()] == ["folder"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "made.zip"]


def test_sizes_that_a_zip_file_only_claims_are_not_believed(tmp_path):
    made = zipped(tmp_path, ("file", "x" * 5000))
    body = made.read_bytes()
    made.write_bytes(body.replace((5000).to_bytes(4, "little"), (1).to_bytes(4, "little")))
    with pytest.raises(ArtifactInvalid):
        archive.unpack(made, tmp_path / "folder", 2000)


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    made = zipped(tmp_path, ("a", ""), ("b", ""), ("c", ""))
    with pytest.raises(ArtifactInvalid, match="more than 2 entries"):
        archive.unpack(made, tmp_path / "folder")


@pytest.mark.parametrize("damage", [b"PK\x03\x04 and no more", b""])
def test_what_is_no_zip_file_is_refused(tmp_path, damage):
    (tmp_path / "broken").write_bytes(damage)
    with pytest.raises(ArtifactInvalid, match="can't be unpacked"):
        archive.unpack(tmp_path / "broken", tmp_path / "folder")


def test_a_damaged_entry_is_refused(tmp_path):
    made = zipped(tmp_path, ("file", "x" * 5000))
    body = bytearray(made.read_bytes())
    body[40] ^= 0xFF
    made.write_bytes(body)
    with pytest.raises(ArtifactInvalid, match="can't be unpacked"):
        archive.unpack(made, tmp_path / "folder")


def test_what_is_packed_comes_out_as_it_was(tmp_path):
    folder = tmp_path / "folder"
    (folder / "bin").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "bin" / "run").write_text("#!/bin/sh")
    (folder / "bin" / "run").chmod(0o755)
    (folder / "ümläut").write_text("ü")
    (folder / "run").symlink_to("bin/run")
    (folder / "programs").symlink_to("bin")
    os.utime(folder / "ümläut", (0, 0))
    archive.pack(folder, tmp_path / "packed")
    archive.unpack(tmp_path / "packed", tmp_path / "unpacked")
    assert everything_below(tmp_path / "unpacked") == {
        "bin/run": "#!/bin/sh",
        "ümläut": "ü",
        "run": "-> bin/run",
        "programs": "-> bin",
    }
    assert (tmp_path / "unpacked" / "empty").is_dir()
    assert os.access(tmp_path / "unpacked" / "run", os.X_OK)


def test_no_set_user_id_is_unpacked(tmp_path):
    made = zipped(tmp_path, ("run", "", stat.S_IFREG | 0o6777))
    archive.unpack(made, tmp_path / "folder")
    assert stat.S_IMODE((tmp_path / "folder" / "run").stat().st_mode) == 0o755


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret"])
def test_a_link_to_what_is_not_in_the_folder_is_not_packed(tmp_path, target):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(target)
    with pytest.raises(ArtifactInvalid, match="link is a link that leads out of the folder"):
        archive.pack(tmp_path / "folder", tmp_path / "packed")
