from __future__ import annotations

from tests.support import ROOT


def test_every_sample_event_is_used_by_a_test():
    paths = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "packages").glob("*/tests/*.py")]
    tests = "".join(path.read_text() for path in paths)
    unused = [path.stem for path in (ROOT / "events").rglob("*.json") if path.stem not in tests]
    assert unused == []
