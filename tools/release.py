"""Builds a release in dist/: make release.

- both packages, each as a wheel and a source distribution,
- acknowledger-VERSION.zip: the application with its built functions, ready for `sam deploy`,
- acknowledger-VERSION.cdx.json: the functions' CycloneDX software bill of materials.

Two builds of the same commit have the same bytes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("acknowledger-worker", "moto-codepipeline")


def version_of(folder: Path) -> str:
    """The version in a folder's pyproject.toml."""
    settings = tomllib.loads((folder / "pyproject.toml").read_text())
    return str(settings["project"]["version"])


VERSION = version_of(ROOT)
NAME = f"acknowledger-{VERSION}"
RELATIVE = re.compile(r"\[([^]]*)\]\((?![a-z]+:|#)([^)]+)\)")


def changes(folder: Path = ROOT) -> tuple[datetime, str]:
    """The date of a folder's version in its CHANGELOG.md, and its section.

    Raises:
        SystemExit: there is no such section.
    """
    version = version_of(folder)
    heading = rf"^## {re.escape(version)} - (\d{{4}}-\d\d-\d\d)\n(.*?)(?=^## |\Z)"
    text = (folder / "CHANGELOG.md").read_text()
    if not (section := re.search(heading, text, re.DOTALL | re.MULTILINE)):
        name = (folder / "CHANGELOG.md").relative_to(ROOT)
        sys.exit(f"{name} has no section for version {version} with its date")
    return datetime.fromisoformat(section[1]).replace(tzinfo=UTC), section[2].strip() + "\n"


def published(text: str, folder: Path) -> str:
    """A text for readers outside the repository: its links lead to this version on GitHub.

    They are relative to the folder. Only GitHub Actions says where the repository is; elsewhere,
    the links are left out.
    """

    def absolute(link: re.Match[str]) -> str:
        words, target = link.groups()
        if not (repository := os.environ.get("GITHUB_REPOSITORY")):
            return words
        path = os.path.relpath(folder / target, ROOT)
        return f"[{words}]({os.environ['GITHUB_SERVER_URL']}/{repository}/blob/v{VERSION}/{path})"

    return RELATIVE.sub(absolute, text)


def published_page(page: Path) -> str:
    return published(page.read_text(), page.parent)


def build_packages(folder: Path) -> None:
    ignored = shutil.ignore_patterns(".*", "__pycache__", "node_modules")
    with tempfile.TemporaryDirectory() as copy:
        for package in PACKAGES:
            source, copied = ROOT / "packages" / package, Path(copy, package)
            day, _ = changes(source)
            environment = {**os.environ, "SOURCE_DATE_EPOCH": f"{day.timestamp():.0f}"}
            shutil.copytree(source, copied, ignore=ignored)
            (copied / "README.md").write_text(published_page(source / "README.md"))
            command = (Path(sys.executable).with_name("uv"), "build", "--quiet", "--offline")
            python = ("--no-config", "--no-build-isolation", "--python", sys.executable)
            target = ("--no-create-gitignore", "--out-dir", folder)
            subprocess.run((*command, *python, *target, copied), env=environment, check=True)


def write_zip(path: Path, files: dict[str, bytes], day: datetime) -> None:
    """Write a zip file that doesn't depend on when, where and by whom it was made."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, (day.year, day.month, day.day, 0, 0, 0))
            entry.create_system = 3  # Unix, whose permissions Lambda needs
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def build_functions(path: Path, day: datetime) -> None:
    """Build the functions as `sam build` does, once for all of them."""
    with tempfile.TemporaryDirectory() as folder:
        make = ("make", "--silent", "-C", ROOT / "functions", "build-all")
        subprocess.run((*make, f"ARTIFACTS_DIR={folder}"), check=True)
        built = {
            str(file.relative_to(folder)): file.read_bytes()
            for file in Path(folder).rglob("*")
            if file.is_file()
        }
    if not any(name.endswith(".cpython-313.pyc") for name in built):
        sys.exit("python3.13 is needed to compile the functions")
    if natives := [name for name in built if name.endswith(".so")]:
        sys.exit(
            f"The functions would run on one processor architecture only, because of {natives[0]}"
        )
    write_zip(path, built, day)


def template() -> str:
    """The template with this version and the built functions."""
    text = (ROOT / "template.yaml").read_text()
    for old, new in (
        ("    Metadata: {BuildMethod: makefile}\n", ""),
        ("CodeUri: functions/\n", "CodeUri: functions.zip\n"),
        ("    SpdxLicenseId: MIT\n", f"    SpdxLicenseId: MIT\n    SemanticVersion: {VERSION}\n"),
    ):
        if old not in text:
            sys.exit(f"template.yaml has no line that ends in {old.strip()}")
        text = text.replace(old, new)
    return text


def build_application(folder: Path, day: datetime) -> None:
    functions = folder / "functions.zip"
    build_functions(functions, day)
    files = {
        name: (ROOT / name).read_bytes()
        for name in ("statemachine/job.asl.json", "samconfig.toml", "LICENSE")
    }
    files["README.md"] = published_page(ROOT / "tools" / "application.md").encode()
    files["template.yaml"] = template().encode()
    files["functions.zip"] = functions.read_bytes()
    functions.unlink()
    inside = {f"{NAME}/{name}": content for name, content in files.items()}
    write_zip(folder / f"{NAME}.zip", inside, day)


def bill_of_materials(day: datetime) -> dict[str, object]:
    """The packages locked in functions/requirements.txt, in CycloneDX format."""
    locked = (ROOT / "functions" / "requirements.txt").read_text()
    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", locked, re.MULTILINE)
    purls = {f"pkg:pypi/{name}@{version}": (name, version) for name, version in pins}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": day.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": NAME,
                "name": "acknowledger",
                "version": VERSION,
                "licenses": [{"license": {"id": "MIT"}}],
            },
        },
        "components": [
            {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
            for purl, (name, version) in purls.items()
        ],
        "dependencies": [{"ref": NAME, "dependsOn": list(purls)}],
    }


def main(folder: Path) -> None:
    day, _ = changes()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    build_packages(folder)
    build_application(folder, day)
    bill = json.dumps(bill_of_materials(day), indent=2) + "\n"
    (folder / f"{NAME}.cdx.json").write_text(bill)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--notes"]:
            sys.stdout.write(published(changes()[1], ROOT))
        case [folder]:
            main(Path(folder))
        case _:
            sys.exit("Usage: release.py FOLDER | --notes")
