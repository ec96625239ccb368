"""Finds our habits that readers stumble over, doubled words, and long sentences: make check."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

# A space matches a line's end too, also within a comment. Names of tests are read as prose.
HABITS = r"""
signs? of life
(looks?|looked|looking) after
mend(s|ed)?
(hand|hands|handed|handing) out
affair
(tells?|told) of
no event told
dealt with
got through
gets? through
(be|is|are|was|were) had
(is|are|be|been|being|was|were) worked(?! on)
worked by
who(so)?ever
(know|knows|knew) (nothing|no|none|neither) of
(for|to) nobody
hangs? a rule
ends? what does
that there is(?! \w)
(half|of ten) within
all the same
(at|in) hand
the like of
one another's
in vain
of whom
whose (it|the \w+|an? \w+) (is|was)
what (there is|is there)
""".strip().splitlines()
_HABITS = re.compile(rf"\b(?:{'|'.join(HABITS)})(?!\w)".replace(" ", r"[\s#]+"), re.IGNORECASE)
_NOT_PROSE = re.compile(r"(?ms)^```.*?^```|`[^`\n]*`|\]\([^)]*\)|^\|[^\n]*")
_SENTENCE = re.compile(r"(?s)\S.*?(?=[.?!:](?!\S)|\n\s*\n|\n *[-*#0-9]|\Z)")
MOST_WORDS = 40


def problems(text: str, *, markdown: bool) -> Iterator[tuple[int, str]]:
    """The place and a description of each problem in a text."""
    prose = re.sub(r"test_\w+", lambda name: name[0].replace("_", " "), text)
    for found in _HABITS.finditer(prose):
        yield found.start(), f"say this plainly: {' '.join(found[0].split())}"
    if markdown:
        text = _NOT_PROSE.sub(lambda part: re.sub(r"[^\n]", " ", part[0]), text)
        for found in re.finditer(r"\b([a-z]+)\s\1\b", text):
            yield found.start(), f"a word twice: {found[1]}"
        for found in _SENTENCE.finditer(text):
            if (words := len(re.findall(r"\w\S*", found[0]))) > MOST_WORDS:
                yield found.start(), f"a sentence of {words} words"


def main(names: list[str]) -> None:
    """Check files; the exit status is 1 if there are problems."""
    said = [
        f"{name}:{text[:at].count(chr(10)) + 1}: {problem}"
        for name in names
        for text in [Path(name).read_text()]
        for at, problem in problems(text, markdown=name.endswith(".md"))
    ]
    sys.exit("\n".join(said) or 0)


if __name__ == "__main__":
    main(sys.argv[1:])
