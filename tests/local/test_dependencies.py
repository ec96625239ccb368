"""local/aws has what moto lacks of AWS. It does not depend on this product."""

import ast
import re
import sys
from pathlib import Path

import pytest

from local.aws import replaced
from tests.local.fixtures import programs
from tests.support import ROOT

AWS = ROOT / "local" / "aws"
MODULES = sorted(AWS.rglob("*.py"))
OURS = re.compile(r"acknowledg(?:er\b|e[drs]?_)|job ?bus|job ?table|\bintake", re.I)


def name_of(module: Path) -> str:
    return module.relative_to(AWS).as_posix()


def imported(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level
            found |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return found


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_local_aws_imports_nothing_else_of_this_repository(module):
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} | {"acknowledger"}
    ours = {name for name in imported(module) if name.partition(".")[0] in folders}
    assert [name for name in ours if not name.startswith("local.aws.")] == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_local_aws_does_not_mention_the_product(module):
    assert [line for line in module.read_text().splitlines() if OURS.search(line)] == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_local_aws_replaces_parts_of_moto_only_by_the_list(module):
    nodes = list(ast.walk(ast.parse(module.read_text())))
    imports = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module.startswith("moto.")]
    of_moto = {each.asname or each.name for one in imports for each in one.names}
    targets = [ast.unparse(one) for n in nodes if isinstance(n, ast.Assign) for one in n.targets]
    targets += [
        ast.unparse(n.target) for n in nodes if isinstance(n, ast.AugAssign | ast.AnnAssign)
    ]
    assert [one for one in targets if "." in one and one.partition(".")[0] in of_moto] == []
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    assert [call.lineno for call in calls if getattr(call.func, "id", "") == "setattr"] == []


@pytest.mark.slow
def test_moto_has_everything_that_is_replaced():
    """Runs in a separate process, since in this one the replacements are already made."""
    code = "from local.aws import replaced; replaced.install(); replaced.install()"
    programs.output_of(sys.executable, "-c", code)


def test_everything_is_replaced_once_and_for_a_reason():
    places = [each.what for each in replaced.REPLACED]
    assert places == re.findall(r"^[^ #\n].*", replaced.TABLE, re.MULTILINE)
    assert len(places) == len(set(places))
    assert all(each.why for each in replaced.REPLACED)
