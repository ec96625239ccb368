"""We unpack the archives of real tools unchanged, and these tools unpack ours unchanged."""

import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acknowledger_worker import archive

Tree = dict[str, bytes]
Tool = Callable[[Path, Path], None]

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='/\\:*?"<>|@'),
    min_size=1,
    max_size=8,
).filter(lambda name: not name.startswith((".", "-", "~")) and not name.endswith("."))
# No path is both a file and a folder.
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    st.binary(max_size=300),
    min_size=1,
    max_size=6,
).filter(lambda tree: not any(f"{one}/" in other for one in tree for other in tree))


def tool(*command: str) -> Tool:
    def run(folder: Path, archived: Path) -> None:
        if not shutil.which(command[0]):
            pytest.skip(f"there is no {command[0]} here")
        words = [word.format(archived) for word in command]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        subprocess.run(
            words, cwd=folder, env=environment, check=True, capture_output=True, timeout=60
        )

    return run


def python(folder: Path, made: Path) -> None:
    shutil.make_archive(str(made.with_suffix("")), "zip", folder)


def powershell(folder: Path, made: Path) -> None:
    """As Compress-Archive of Windows PowerShell writes it."""
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted(folder.rglob("*")):
            entry = zipfile.ZipInfo("x")
            entry.create_system = 0
            entry.filename = str(path.relative_to(folder)).replace("/", "\\")
            entry.filename += "\\" * path.is_dir()
            opened.writestr(entry, b"" if path.is_dir() else path.read_bytes())


PACK = {
    "zip": tool("zip", "-qr", "{}", "."),
    "7z": tool("7z", "a", "-tzip", "{}", "."),
    "jar": tool("jar", "--create", "--file", "{}", "."),
    "tar": tool("tar", "-cf", "{}", "."),
    "tar -z": tool("tar", "-czf", "{}", "."),
    "tar --format=pax": tool("tar", "--format=pax", "-cf", "{}", "."),
    "Python": python,
    "PowerShell": powershell,
}
UNPACK = {
    # -V: a semicolon does not begin a version number.
    "zip": tool("unzip", "-q", "-V", "{}"),
    "tar.gz": tool("tar", "-xf", "{}"),
}


def written(tree: Tree, folder: Path) -> Path:
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def found(folder: Path) -> Tree:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "META-INF"
    }


@pytest.mark.parametrize("name", PACK)
@settings(max_examples=4, deadline=None)
@given(tree=TREES)
def test_a_tools_archive_is_unpacked_unchanged(name, tree):
    with tempfile.TemporaryDirectory() as scratch:
        made, out = Path(scratch, "made.zip"), Path(scratch, "out")
        PACK[name](written(tree, Path(scratch, "folder")), made)
        archive.unpack(made, out)
        assert found(out) == tree


@pytest.mark.parametrize("form", UNPACK)
@settings(max_examples=4, deadline=None)
@given(tree=TREES)
def test_a_tool_unpacks_our_archive_unchanged(form, tree):
    with tempfile.TemporaryDirectory() as scratch:
        made, out = Path(scratch, "made"), Path(scratch, "out")
        archive.pack(written(tree, Path(scratch, "folder")), made, format=form)
        out.mkdir()
        UNPACK[form](out, made)
        assert found(out) == tree
