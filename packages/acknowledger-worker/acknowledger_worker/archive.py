"""Artifacts are zip files: unpacks what others have packed, and packs what a worker has made.

Nothing that is unpacked leaves its folder, by a path, an absolute name or a symbolic link, and
nothing is unpacked without a limit, whatever sizes the file gives.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from acknowledger_worker.errors import ArtifactInvalid

MAX_BYTES = 4 * 2**30
MAX_ENTRIES = 200_000

_CHUNK = 2**20
_LINK_LENGTH = 4096


def is_archive(path: Path) -> bool:
    """Whether a file is a zip file."""
    return zipfile.is_zipfile(path)


def unpack(archive: Path, folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Unpack a zip file into a new folder, with permissions and symbolic links.

    Args:
        max_bytes: how large all that is in it may be together.

    Raises:
        ArtifactInvalid: naming the entry that can't be unpacked, or the limit.
    """
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            _unpack(opened, folder, max_bytes)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,  # an entry that is packed in a way that zipfile doesn't know
        OSError,
        RuntimeError,  # an entry that is encrypted
        UnicodeError,
        ValueError,
    ) as error:
        raise ArtifactInvalid(f"it can't be unpacked: {error}") from None


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder into a new zip file, with permissions and the symbolic links within it.

    Raises:
        ArtifactInvalid: a link leads out of the folder, or an entry is neither file nor folder.
    """
    root = folder.resolve()
    with zipfile.ZipFile(archive, "x", zipfile.ZIP_DEFLATED, strict_timestamps=False) as opened:
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_symlink():
                if not _resolved(path).is_relative_to(root):
                    raise ArtifactInvalid(f"{name} is a link that leads out of the folder")
                entry = zipfile.ZipInfo(name)
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
                opened.writestr(entry, str(path.readlink()))
            elif path.is_dir() or path.is_file():
                opened.write(path, name)
            else:
                raise ArtifactInvalid(f"{name} is neither a file nor a folder")


def _unpack(opened: zipfile.ZipFile, folder: Path, max_bytes: int) -> None:
    entries = opened.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ArtifactInvalid(f"it has more than {MAX_ENTRIES} entries")
    left = max_bytes
    links: dict[Path, str] = {}
    for entry in entries:
        path = folder / _inside(entry.filename)
        mode = entry.external_attr >> 16
        kind = stat.S_IFMT(mode)
        if kind == stat.S_IFLNK:
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(entry) as source:
                links[path] = os.fsdecode(source.read(_LINK_LENGTH))
        elif entry.is_dir():
            path.mkdir(parents=True, exist_ok=True)
        elif kind not in (0, stat.S_IFREG):
            raise ArtifactInvalid(f"{entry.filename} is neither a file, a folder nor a link")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(entry) as source, path.open("wb") as target:
                while chunk := source.read(_CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise ArtifactInvalid(f"it has more than {max_bytes} bytes, unpacked")
                    target.write(chunk)
            path.chmod(mode & 0o755 | 0o600)
    _link(links, folder.resolve())


def _inside(name: str) -> PurePosixPath:
    """The path of an entry, which stays inside the folder."""
    path = PurePosixPath(name)
    windows = PureWindowsPath(name)
    parts = {*path.parts, *windows.parts}
    if ".." in parts or path.is_absolute() or windows.drive or windows.root or not path.parts:
        raise ArtifactInvalid(f"{name!r} leaves the folder")
    return path


def _link(links: dict[Path, str], root: Path) -> None:
    """Make the links when all else is there, so that nothing was written through one."""
    for path, target in links.items():
        path.symlink_to(target)
    for path in links:
        if not _resolved(path).is_relative_to(root):
            raise ArtifactInvalid(f"{path.name!r} is a link that leaves the folder")


def _resolved(path: Path) -> Path:
    # Path.resolve() objects to links that lead in a circle, which lead nowhere.
    return Path(os.path.realpath(path))
