"""The documentation's code blocks, and which test runs each of them.

blocks.txt has a row for each block, in the order of the page: the page, how the block begins, the
test that runs it as written and, if the test can't run it to its end, why not. A test gets its
blocks as the fixture `blocks`, and must take all of them; or it is parametrized with them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

_HEADING_OR_BLOCK = re.compile(r"^#+ ([^\n]+)$|^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    page: str
    heading: str
    language: str
    text: str
    number: int

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


@dataclass(frozen=True)
class Row:
    """A row of blocks.txt; `test` is a test's id without parameters."""

    page: str
    beginning: str
    test: str
    why_not: str = ""


def pages() -> list[str]:
    """The paths of the pages, from the root of the repository."""
    found = [*ROOT.glob("*.md")]
    for folder in (".github", "docs", "events", "examples", "packages", "tools"):
        found += (ROOT / folder).rglob("*.md")
    named = [str(path.relative_to(ROOT)) for path in found]
    return sorted(name for name in named if not re.search(r"/(\.|node_modules/)", name))


def blocks_of(page: str) -> list[Block]:
    """A page's blocks."""
    found: list[Block] = []
    heading = ""
    for title, language, text in _HEADING_OR_BLOCK.findall((ROOT / page).read_text()):
        if title:
            heading = title
        else:
            found.append(Block(page, heading, language, text, len(found)))
    return found


def texts_of(page: str, language: str) -> list[str]:
    """The texts of a page's blocks in a language; there must be some."""
    found = [block.text for block in blocks_of(page) if block.language == language]
    assert found
    return found


def rows() -> list[Row]:
    """The rows of blocks.txt."""
    lines = Path(__file__).with_name("blocks.txt").read_text().splitlines()
    return [Row(*line.split(" | ")) for line in lines]


def assigned(test: str) -> list[Block]:
    """The blocks that blocks.txt assigns to a test, by the test's id without parameters.

    Raises:
        ValueError: there are none, or their page has another number of blocks than rows.
    """
    tests: dict[str, list[str]] = {}
    for row in rows():
        tests.setdefault(row.page, []).append(row.test)
    found = [
        block
        for page, each in tests.items()
        if test in each
        for block, its_test in zip(blocks_of(page), each, strict=True)
        if its_test == test
    ]
    if not found:
        raise ValueError(f"blocks.txt has no block for {test}")
    return found


class Blocks:
    """A test's blocks: each is taken once."""

    def __init__(self, blocks: list[Block]) -> None:
        self.left = blocks

    def take(self, beginning: str = "", page: str = "") -> str:
        """The text of the first block that has not been taken, of those that begin so."""
        return next(self._taken(beginning, page))

    def take_all(self, beginning: str = "", page: str = "") -> list[str]:
        """The texts of all blocks that have not been taken, of those that begin so."""
        return list(self._taken(beginning, page))

    def _taken(self, beginning: str, page: str) -> Iterator[str]:
        for block in list(self.left):
            if block.text.startswith(beginning) and block.page.startswith(page):
                self.left.remove(block)
                yield block.text
