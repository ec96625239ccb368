"""The package needs only boto3, and its tests need nothing else in the repository."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]
SHIPPED = sorted((PACKAGE / "acknowledger_worker").glob("*.py"))
TESTS = sorted(PACKAGE.glob("tests/*.py"))
WITH_BOTO3 = {"boto3", "botocore"}
FOR_TESTS = {"hypothesis", "moto", "moto_codepipeline", "pytest"}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
    return found - set(sys.stdlib_module_names) - {"acknowledger_worker"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_package_needs_only_boto3(path: Path) -> None:
    assert imported(path) <= WITH_BOTO3
    declared = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["dependencies"]
    assert [each.partition(">")[0] for each in declared] == ["boto3"]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_the_tests_need_nothing_of_the_repository(path: Path) -> None:
    assert imported(path) <= WITH_BOTO3 | FOR_TESTS | {each.stem for each in TESTS}
