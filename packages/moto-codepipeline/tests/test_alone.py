"""The package needs only its declared dependencies, and names no other product."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]
#: A tool apart from the emulator: it sees only the responses of AWS or an emulator.
PROBE = sorted((PACKAGE / "moto_codepipeline" / "probe").rglob("*.py"))
#: The emulator: everything else that is installed.
SHIPPED = sorted(
    {PACKAGE / "pytest_moto_codepipeline.py", *(PACKAGE / "moto_codepipeline").rglob("*.py")}
    - {*PROBE}
)
TESTS = sorted([*PACKAGE.glob("tests/*.py"), *PACKAGE.glob("tests/conformance/*.py")])
TEXTS = [
    *SHIPPED,
    *PROBE,
    *TESTS,
    *PACKAGE.glob("*.md"),
    *PACKAGE.glob("docs/*"),
    PACKAGE / "pyproject.toml",
    PACKAGE / "LICENSE",
    *PACKAGE.glob("moto_codepipeline/**/*.toml"),
    *PACKAGE.glob("tests/*.txt"),
    *PACKAGE.glob("tests/conformance/js/*.mjs"),
]
#: What comes with moto, and with pytest, which loads the plug-in.
WITH_MOTO = {"boto3", "botocore", "moto", "pytest", "werkzeug", "_typeshed"}
FOR_TESTS = {"hypothesis", "awscli", "jsonpath_ng"}  # the last comes with moto[events]


def lines(paths: list[Path]) -> int:
    return sum(len(path.read_text().splitlines()) for path in paths)


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", [*SHIPPED, *PROBE], ids=lambda path: path.name)
def test_the_package_needs_only_moto(path: Path) -> None:
    assert imported(path) <= WITH_MOTO | {"moto_codepipeline"}
    declared = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["dependencies"]
    assert [each.partition("[")[0] for each in declared] == ["moto"]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_the_tests_need_only_the_package_and_themselves(path: Path) -> None:
    own = {each.stem for each in PACKAGE.glob("tests/*")} | {"moto_codepipeline"}
    assert imported(path) <= WITH_MOTO | FOR_TESTS | own


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_the_package_does_not_name_the_product(path: Path) -> None:
    other = re.compile(r"\backnowledger|job\s?bus\b|job\s?table|\bintake\b|make local", re.I)
    found = [line for line in path.read_text().splitlines() if other.search(line)]
    assert [line for line in found if "re.compile" not in line] == []


def test_the_package_stays_small() -> None:
    """What the emulator leaves out, it refuses by name."""
    assert lines(SHIPPED) < 5500


def test_the_probe_stays_small() -> None:
    """A question that needs too much code is documented instead."""
    assert lines(PROBE) < 1860


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_emulator_mentions_no_module_of_the_probe(path: Path) -> None:
    """Not even in a function, which imports it later."""
    found = [
        each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.ImportFrom)
    ]
    names = {str(each.module) for each in found} | {a.name for each in found for a in each.names}
    assert [name for name in names if "probe" in name.split(".")] == []


def test_the_probe_uses_only_the_switches_of_the_emulator() -> None:
    for path in PROBE:
        found = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        own = {each.module for each in found if each.level == 2}
        assert own <= {"answers", "switches"}, path.name
