from collections.abc import Generator

import pytest

from tests.documentation import Blocks, assigned
from tests.support import ROOT


@pytest.fixture
def blocks(request: pytest.FixtureRequest) -> Blocks:
    """The documentation's blocks that blocks.txt assigns to the test.

    A test that is parametrized by headings has those under its heading.
    """
    function = request.node
    file = function.path.relative_to(ROOT)
    ours = assigned(f"{file}::{function.originalname}")
    given = function.callspec.params.values() if hasattr(function, "callspec") else ()
    under = [block for block in ours if block.heading in given]
    return Blocks(under or ours)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    result = yield
    if isinstance(taken := pyfuncitem.funcargs.get("blocks"), Blocks):
        assert taken.left == [], "the test has not taken these blocks"
    return result
