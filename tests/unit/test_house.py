import ast
import re

from tests.support import ROOT

MODULES = {
    path.stem: ast.parse(path.read_text())
    for path in (ROOT / "functions" / "acknowledger").glob("*.py")
}


def imported(name: str) -> set[str]:
    """The modules of the package that a module imports, directly or indirectly."""
    found = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.ImportFrom) and node.module == "acknowledger":
            found |= {alias.name for alias in node.names} & MODULES.keys()
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("acknowledger."):
            found.add(node.module.removeprefix("acknowledger."))
    return found.union(*map(imported, found))


def test_decisions_call_no_aws():
    decisions = {
        name
        for name, module in MODULES.items()
        if "Nothing here calls AWS" in (ast.get_docstring(module) or "")
    }
    assert {"events", "offers", "room"} <= decisions
    assert {name for name in decisions if "aws" in imported(name)} == set()
    assert "aws" in imported("taking")


def test_the_package_says_what_each_module_is_for():
    named = re.findall(r"`(\w+)`", ast.get_docstring(MODULES["__init__"]) or "")
    assert sorted(named) == sorted(MODULES.keys() - {"__init__"})
