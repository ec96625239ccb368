"""Unpacks zip and tar files, and packs a worker's output.

No unpacked entry leaves its folder, by a relative path, an absolute path or a link. The unpacked
size is limited, regardless of the sizes that the archive states.
"""

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from gzip import GzipFile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from acknowledger_worker.errors import ArtifactInvalid

Format = Literal["zip", "tar.gz"]
Links = Literal["refuse", "keep", "follow", "skip"]

MAX_BYTES = 4 * 2**30
MAX_ENTRIES = 200_000

_CHUNK = 2**20
_LINK_LENGTH = 4096
_UTF8 = 0x800
_WINDOWS = {0, 10, 14}  # FAT, NTFS and VFAT


def is_archive(path: Path) -> bool:
    """Whether a file is a zip file, like most artifacts, by its first bytes."""
    return _kind(path) == "zip"


def unpack(
    archive: Path,
    folder: Path,
    max_bytes: int = MAX_BYTES,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Unpack a zip, tar or tar.gz file into a new folder, with permissions and links.

    Args:
        max_bytes: how large all of its entries together may be.
        check: called before each entry; an exception ends the unpacking.

    Raises:
        ArtifactInvalid: naming the entry that can't be unpacked, or the limit.
    """
    folder.mkdir()
    kind = _kind(archive)
    if kind is None:
        raise ArtifactInvalid("it can't be unpacked: it is not a zip, tar or tar.gz file")
    try:
        if kind == "tar":
            with tarfile.open(archive) as tar:
                _unpack(_tar_entries(tar), folder, max_bytes, check)
        else:
            with zipfile.ZipFile(archive) as opened:
                _unpack(_zip_entries(opened), folder, max_bytes, check)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        NotImplementedError,  # an entry with a compression that zipfile doesn't support
        OSError,
        RuntimeError,  # an encrypted entry
        UnicodeError,
        ValueError,
    ) as error:
        raise ArtifactInvalid(f"it can't be unpacked: {error}") from None


def pack(
    source: Path,
    archive: Path,
    *,
    files: Iterable[str] | None = None,
    links: Links = "refuse",
    format: Format = "zip",  # noqa: A002
    check: Callable[[], None] = lambda: None,
) -> None:
    """Pack a folder or a file into a new archive, with permissions and the links within it.

    Args:
        files: which of the folder's files and folders, as patterns such as "dist/*.whl"; by
            default all.
        links: what to do with links that lead out of the folder: refuse them, keep them as they
            are, follow them to their targets, or skip them.
        check: called before each entry; an exception ends the packing.

    Raises:
        ArtifactInvalid: there is such a link, a pattern without a match, or an entry that is
            neither a file nor a folder.
    """
    root = (source if source.is_dir() else source.parent).resolve()
    chosen = [root / source.name] if source.is_file() else _chosen(root, files)
    members = _members(root, chosen, links)
    if format == "tar.gz":
        with tarfile.open(archive, "x:gz", dereference=True) as tar:
            for name, path, target in members:
                check()
                if target is None:
                    tar.add(path, name, recursive=False)
                else:
                    entry = tarfile.TarInfo(name)
                    entry.type, entry.linkname = tarfile.SYMTYPE, target
                    tar.addfile(entry)
    else:
        with zipfile.ZipFile(archive, "x", zipfile.ZIP_DEFLATED, strict_timestamps=False) as zipped:
            for name, path, target in members:
                check()
                if target is None:
                    zipped.write(path, name)
                else:
                    link = zipfile.ZipInfo(name)
                    link.external_attr = (stat.S_IFLNK | 0o777) << 16
                    zipped.writestr(link, target)


# -- Unpacking ------------------------------------------------------------------------------------


@dataclass
class _Entry:
    """An entry of an archive. A link has a target; a file may be the same as an earlier one."""

    name: str
    mode: int
    open: Callable[[], Any]
    kind: Literal["file", "folder", "link", "other"] = "file"
    target: str = ""
    same_as: str = ""


def _kind(path: Path) -> Literal["zip", "tar"] | None:
    with path.open("rb") as opened:
        start = opened.read(tarfile.BLOCKSIZE)
        if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return "zip"
        if start.startswith(b"\x1f\x8b"):
            opened.seek(0)
            with suppress(OSError, EOFError, zlib.error):
                start = GzipFile(fileobj=opened).read(tarfile.BLOCKSIZE)
    with suppress(tarfile.TarError):
        # This also checks the header's checksum.
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
        return "tar" if start[257:262] == b"ustar" else None
    return None


def _zip_entries(opened: zipfile.ZipFile) -> Iterator[_Entry]:
    for entry in opened.infolist():
        name = entry.filename
        if not entry.flag_bits & _UTF8:
            # Some tools write UTF-8 without the flag.
            with suppress(UnicodeError):
                name = name.encode("cp437").decode()
        if entry.create_system in _WINDOWS:  # where older tools write backslashes
            name = name.replace("\\", "/")
        made = _Entry(name, entry.external_attr >> 16, partial(opened.open, entry))
        kind = stat.S_IFMT(made.mode)
        if kind == stat.S_IFLNK:
            with opened.open(entry) as source:
                made.kind, made.target = "link", os.fsdecode(source.read(_LINK_LENGTH))
        elif name == "." or name.endswith("/") or kind == stat.S_IFDIR:
            made.kind = "folder"
        elif kind not in (0, stat.S_IFREG):
            made.kind = "other"
        yield made


def _tar_entries(opened: tarfile.TarFile) -> Iterator[_Entry]:
    for entry in opened:
        made = _Entry(entry.name, entry.mode, partial(opened.extractfile, entry))
        if entry.issym():
            made.kind, made.target = "link", entry.linkname
        elif entry.isdir():
            made.kind = "folder"
        elif entry.islnk():
            made.same_as = entry.linkname
        elif not entry.isreg():
            made.kind = "other"
        yield made


def _unpack(
    entries: Iterator[_Entry], folder: Path, max_bytes: int, check: Callable[[], None]
) -> None:
    left = max_bytes
    links: dict[Path, str] = {}
    for number, entry in enumerate(entries, start=1):
        check()
        if number > MAX_ENTRIES:
            raise ArtifactInvalid(f"it has more than {MAX_ENTRIES} entries")
        path = folder / _inside(entry.name, entry.kind)
        if entry.kind == "other":
            raise ArtifactInvalid(f"{entry.name} is neither a file, a folder nor a link")
        if entry.kind == "folder":
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        twin = folder / _inside(entry.same_as, "file") if entry.same_as else None
        # If several entries have the same name, the last one counts.
        links.pop(path, None)
        path.unlink(missing_ok=True)
        if entry.kind == "link" or twin in links:
            links[path] = links[twin] if twin else entry.target
            continue
        with twin.open("rb") if twin else entry.open() as source, path.open("xb") as target:
            while chunk := source.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise ArtifactInvalid(f"it has more than {max_bytes} bytes when unpacked")
                target.write(chunk)
        path.chmod(entry.mode & 0o755 | 0o600)
    _link(links, folder.resolve())


def _inside(name: str, kind: str) -> PurePosixPath:
    """The path of an entry, inside the folder. A folder entry may be the folder itself."""
    windows = PureWindowsPath(name)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    leaves = ".." in (*parts, *windows.parts) or windows.drive or windows.root
    if leaves if parts else kind != "folder":
        raise ArtifactInvalid(f"{name!r} leaves the folder")
    return PurePosixPath(*parts)


def _link(links: dict[Path, str], root: Path) -> None:
    """Create the links last, so that nothing is written through one."""
    for path, target in links.items():
        path.symlink_to(target)
    for path in links:
        if not _resolved(path).is_relative_to(root):
            raise ArtifactInvalid(f"{path.name!r} is a link that leaves the folder")


# -- Packing --------------------------------------------------------------------------------------


def _chosen(root: Path, files: Iterable[str] | None) -> list[Path]:
    if files is None:
        return sorted(root.rglob("*"))
    found: set[Path] = set()
    for pattern in [files] if isinstance(files, str) else files:
        parts = PurePosixPath(pattern)
        matching = () if parts.is_absolute() or ".." in parts.parts else root.glob(pattern)
        before = len(found)
        for path in matching:
            found.add(path)
            found.update(() if path.is_symlink() else path.rglob("*"))
        if len(found) == before:
            raise ArtifactInvalid(f"nothing in the folder matches {pattern!r}")
    return sorted(found - {root})


def _members(
    root: Path, paths: Iterable[Path], links: Links
) -> Iterator[tuple[str, Path, str | None]]:
    """Each entry to pack: its name, its path, and its target if it is kept as a link."""
    for path in paths:
        name = path.relative_to(root).as_posix()
        if not path.is_symlink():
            yield from _real(name, path)
        elif _resolved(path).is_relative_to(root):
            target = path.readlink()
            if target.is_absolute():  # it would be wrong after unpacking elsewhere
                target = Path(os.path.relpath(_resolved(path), path.parent))
            yield name, path, str(target)
        elif links == "keep":
            yield name, path, str(path.readlink())
        elif links == "follow":
            yield from _followed(name, path, (root,))
        elif links == "refuse":
            raise ArtifactInvalid(f"{name} is a link that leads out of the folder")


def _followed(
    name: str, path: Path, above: tuple[Path, ...]
) -> Iterator[tuple[str, Path, str | None]]:
    """The target of a link, with everything below it, under the link's name."""
    real = _resolved(path)
    if any(folder.is_relative_to(real) for folder in above):
        raise ArtifactInvalid(f"{name} is a link that leads in a circle")
    yield from _real(name, real)
    if real.is_dir():
        for child in sorted(real.iterdir()):
            yield from _followed(f"{name}/{child.name}", child, (*above, real))


def _real(name: str, path: Path) -> Iterator[tuple[str, Path, None]]:
    if not (path.is_dir() or path.is_file()):
        what = "neither a file nor a folder" if path.exists() else "a link that leads nowhere"
        raise ArtifactInvalid(f"{name} is {what}")
    yield name, path, None


def _resolved(path: Path) -> Path:
    # Path.resolve() raises an error for circular links.
    return Path(os.path.realpath(path))
