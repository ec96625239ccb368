import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from acknowledger_worker import ArtifactInvalid, JobCancelled, archive

LINK = stat.S_IFLNK | 0o777
SYMBOLIC, HARD, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
WINDOWS, UNIX = 0, 3


def zipped(path: Path, *entries: tuple[str, str] | tuple[str, str, int]) -> Path:
    """A zip file of (name, content, mode), with unchanged names."""
    made = path / "made.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content, *mode in entries:
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            entry.external_attr = (mode[0] if mode else 0) << 16
            opened.writestr(entry, content)
    return made


def tarred(path: Path, *entries: tuple[str, str] | tuple[str, str, bytes]) -> Path:
    """A tar file of files (name, content) and others (name, target, type)."""
    made = path / "made.tar"
    with tarfile.open(made, "w") as opened:
        for name, content, *kind in entries:
            entry = tarfile.TarInfo(name)
            if kind:
                entry.type, entry.linkname = kind[0], content
            else:
                entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content.encode()))
    return made


def made_folder(path: Path) -> Path:
    folder = path / "folder"
    (folder / "bin").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "bin" / "run").write_text("#!/bin/sh")
    (folder / "bin" / "run").chmod(0o755)
    (folder / "ümläut").write_text("ü")
    (folder / "run").symlink_to("bin/run")
    (folder / "programs").symlink_to("bin")
    (folder / "bin" / "same").hardlink_to(folder / "bin" / "run")
    (folder / "bin" / "absolute").symlink_to(folder / "ümläut")
    os.utime(folder / "ümläut", (0, 0))
    return folder


def unpacked(made: Path) -> dict[str, str]:
    """What is in an archive, which is unpacked beside it."""
    folder = made.with_name(f"{made.name}-unpacked")
    archive.unpack(made, folder)
    return {
        path.relative_to(folder).as_posix(): f"-> {path.readlink()}"
        if path.is_symlink()
        else path.read_text()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


IN_ZIP = [
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
]
IN_TAR = [
    ([("../out", "")], "'../out' leaves"),
    ([("..", "", FOLDER)], "leaves the folder"),
    ([("out", "/etc/passwd", SYMBOLIC)], "is a link that leaves"),
    ([("out", "../secret", HARD)], "'../secret' leaves"),
    ([("out", "/etc/passwd", HARD)], "'/etc/passwd' leaves"),
    ([("out", "..", SYMBOLIC), ("out/file", "")], "can't be unpacked"),
    ([("in", "..", SYMBOLIC), ("out", "in", HARD)], "is a link that leaves"),
    ([("out", "nothing", HARD)], "can't be unpacked"),
    ([("pipe", "", tarfile.FIFOTYPE)], "neither a file, a folder nor a link"),
    ([("null", "", tarfile.CHRTYPE)], "neither a file, a folder nor a link"),
    ([("a", "x" * 1001), ("b", "a", HARD)], "more than 2000 bytes"),
]


@pytest.mark.parametrize(
    ("make", "compress", "entries", "words"),
    [(zipped, bytes, *each) for each in IN_ZIP]
    + [(tarred, compress, *each) for each in IN_TAR for compress in (bytes, gzip.compress)],
)
def test_nothing_leaves_the_folder_or_fills_the_disk(tmp_path, make, compress, entries, words):
    """And nothing was written outside the folder."""
    made = make(tmp_path, *entries)
    made.write_bytes(compress(made.read_bytes()))
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(ArtifactInvalid, match=words):
        archive.unpack(made, inside / "folder", 2000)
    assert [path.name for path in inside.iterdir()] == ["folder"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", made.name]


def test_the_sizes_that_a_zip_file_states_are_not_trusted(tmp_path):
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


def test_a_damaged_zip_file_is_refused(tmp_path):
    made = zipped(tmp_path, ("file", "x" * 5000))
    body = bytearray(made.read_bytes())
    body[40] ^= 0xFF
    for number, damaged in enumerate([b"", b"PK\x03\x04 and no more", bytes(body)]):
        made.write_bytes(damaged)
        with pytest.raises(ArtifactInvalid, match="can't be unpacked"):
            archive.unpack(made, tmp_path / f"folder-{number}")


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_a_packed_folder_is_unpacked_with_relative_links_and_hard_links_as_files(tmp_path, form):
    archive.pack(made_folder(tmp_path), tmp_path / "packed", format=form)
    assert unpacked(tmp_path / "packed") == {
        "bin/run": "#!/bin/sh",
        "bin/same": "#!/bin/sh",
        "bin/absolute": "-> ../ümläut",
        "ümläut": "ü",
        "run": "-> bin/run",
        "programs": "-> bin",
    }
    assert (tmp_path / "packed-unpacked" / "empty").is_dir()
    assert os.access(tmp_path / "packed-unpacked" / "run", os.X_OK)
    if form == "tar.gz":
        with tarfile.open(tmp_path / "packed") as tar:
            assert not any(entry.islnk() for entry in tar)


def test_set_user_id_bits_are_not_unpacked(tmp_path):
    archive.unpack(zipped(tmp_path, ("run", "", stat.S_IFREG | 0o6777)), tmp_path / "folder")
    assert stat.S_IMODE((tmp_path / "folder" / "run").stat().st_mode) == 0o755


def packed(folder: Path, links: archive.Links) -> dict[str, str]:
    """What is in the zip file of a folder: the content of each file, the target of each link."""
    made = folder.with_name(f"{links}.zip")
    archive.pack(folder, made, links=links)
    with zipfile.ZipFile(made) as opened:
        return {
            each.filename: ("-> " if stat.S_ISLNK(each.external_attr >> 16) else "")
            + opened.read(each).decode()
            for each in opened.infolist()
            if not each.is_dir()
        }


def test_links_that_lead_out_of_the_folder_are_refused_kept_followed_or_skipped(tmp_path):
    """As in a virtual environment, whose interpreter is elsewhere."""
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/python").write_text("interpreter")
    (tmp_path / "usr/lib/a.py").write_text("library")
    (tmp_path / "usr/lib/b.py").symlink_to("a.py")
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(tmp_path / "usr/python")
    (folder / "bin/python3").symlink_to("python")
    (folder / "bin/activate").symlink_to("../readme")
    (folder / "readme").write_text("read me")
    (folder / "lib").symlink_to("../usr/lib")
    within = {"bin/activate": "-> ../readme", "readme": "read me"}
    with pytest.raises(ArtifactInvalid, match="bin/python is a link that leads out of the folder"):
        packed(folder, "refuse")
    assert packed(folder, "skip") == within
    assert packed(folder, "keep") == within | {
        "bin/python": f"-> {tmp_path}/usr/python",
        "bin/python3": "-> python",
        "lib": "-> ../usr/lib",
    }
    assert packed(folder, "follow") == within | {
        "bin/python": "interpreter",
        "bin/python3": "interpreter",
        "lib/a.py": "library",
        "lib/b.py": "library",
    }


@pytest.mark.parametrize(
    ("target", "words"),
    [("..", "in a circle"), ("../round", "in a circle"), ("/nothing", "nowhere")],
)
def test_a_link_that_can_not_be_followed_is_refused_by_name(tmp_path, target, words):
    (tmp_path / "round").mkdir()
    (tmp_path / "round/again").symlink_to(tmp_path / "round")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(target)
    with pytest.raises(ArtifactInvalid, match=f"^link.* is a link that leads {words}"):
        archive.pack(folder, tmp_path / "packed", links="follow")


def test_an_error_of_the_check_ends_packing_and_unpacking(tmp_path):
    def check():
        raise JobCancelled("stop")

    made, folder = zipped(tmp_path, ("a", "x")), made_folder(tmp_path)
    with pytest.raises(JobCancelled):
        archive.unpack(made, tmp_path / "unpacked", check=check)
    with pytest.raises(JobCancelled):
        archive.pack(folder, tmp_path / "packed", check=check)


def test_the_kind_of_an_archive_is_read_from_its_first_bytes(tmp_path):
    made = zipped(tmp_path, ("a", "x"))
    assert archive.is_archive(made)
    zipfile.ZipFile(tmp_path / "empty", "w").close()
    assert archive.is_archive(tmp_path / "empty")
    tar = tmp_path / "with a wheel at its end.tar"
    with tarfile.open(tar, "w") as opened:
        opened.add(made, "a.whl")
    assert not archive.is_archive(tar)
    others = {
        "zipapp": b"#!/usr/bin/env python3\n" + made.read_bytes(),
        "binary": bytes(5000) + b"PK\x05\x06" + bytes(3000),
        "gzip": gzip.compress(made.read_bytes()),
        "half gzip": gzip.compress(tar.read_bytes())[:20],
        "nothing": b"",
    }
    for name, body in others.items():
        (tmp_path / name).write_bytes(body)
        assert not archive.is_archive(tmp_path / name), name
        with pytest.raises(ArtifactInvalid, match=r"it is not a zip, tar or tar\.gz file"):
            archive.unpack(tmp_path / name, tmp_path / f"{name}-unpacked")


@pytest.mark.parametrize("itself", ["./", ".", "/", ".//"])
def test_an_entry_for_the_folder_itself_is_accepted(tmp_path, itself):
    made = zipped(tmp_path, (itself, ""), ("./main.py", "x"), ("./lib/", ""), ("lib/./a.py", "y"))
    assert unpacked(made) == {"main.py": "x", "lib/a.py": "y"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_last_of_two_entries_with_the_same_name_counts(tmp_path):
    made = zipped(tmp_path, ("a", "1"), ("a", "2"), ("b", "a", LINK), ("b", "3"))
    assert unpacked(made) == {"a": "2", "b": "3"}
    made = tarred(tmp_path, ("a", "1"), ("a", "2"), ("b", "3"), ("b", "a", SYMBOLIC))
    assert unpacked(made) == {"a": "2", "b": "-> a"}


@pytest.mark.parametrize(("system", "path"), [(WINDOWS, "a/b"), (UNIX, "a\\b")])
def test_a_backslash_is_a_separator_only_in_archives_made_on_windows(tmp_path, system, path):
    entry = zipfile.ZipInfo("a")
    entry.filename, entry.create_system = "a\\b", system
    with zipfile.ZipFile(tmp_path / "made", "w") as opened:
        opened.writestr(entry, "x")
    assert unpacked(tmp_path / "made") == {path: "x"}


def test_a_utf_8_name_is_read_without_its_flag(tmp_path):
    """As macOS writes them."""
    made = zipped(tmp_path, ("ümläut", "x"))
    body = bytearray(made.read_bytes())
    for at in (body.index(b"PK\x03\x04") + 6, body.index(b"PK\x01\x02") + 8):
        body[at + 1] &= ~8
    made.write_bytes(body)
    assert "ümläut" not in zipfile.ZipFile(made).namelist()
    assert unpacked(made) == {"ümläut": "x"}


def test_hard_links_in_a_tar_file_are_unpacked_as_files_and_links(tmp_path):
    made = tarred(
        tmp_path, ("a", "x"), ("b", "./a", HARD), ("link", "a", SYMBOLIC), ("too", "link", HARD)
    )
    assert unpacked(made) == {"a": "x", "b": "x", "link": "-> a", "too": "-> a"}
