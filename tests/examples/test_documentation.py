"""The documentation's code: each block has a test that runs it, and the Python examples are typed."""

import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from itertools import zip_longest
from pathlib import Path
from types import ModuleType

import pytest
from botocore import xform_name
from botocore.session import Session
from mypy import api

from tests.documentation import assigned, blocks_of, pages, rows, texts_of
from tests.support import ROOT

# -- Every block is run ---------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages())
def test_each_block_of_a_page_is_in_the_table(page):
    beginnings = [row.beginning for row in rows() if row.page == page]
    texts = [block.text for block in blocks_of(page)]
    assert "" not in beginnings
    begin = [text[: len(told)] for text, told in zip_longest(texts, beginnings, fillvalue="")]
    assert begin == beginnings


@pytest.mark.parametrize("page", pages())
def test_no_code_of_a_page_escapes_the_table(page):
    """Only fenced blocks at the beginning of a line are in it."""
    prose = re.sub(r"^```\w*\n.*?^```$", "", (ROOT / page).read_text(), flags=re.M | re.S)
    assert re.findall(r"^(?: {4}\S| *\t| +```| *~~~).*", prose, re.MULTILINE) == []
    assert "```" not in prose
    program = r"pip install|docker|curl|git|npx|uv|(?:\.venv/bin/)?python3? -m [^\s`]+"
    # test_starts.py reads this one from its page.
    without_a_block = {"`.venv/bin/python -m local serve --no-worker`"}
    assert set(re.findall(rf"`(?:{program}) [^`]*`", prose)) <= without_a_block


def test_the_table_has_only_pages_that_exist():
    assert {row.page for row in rows()} <= set(pages())


def module_of(path: str) -> ModuleType:
    """The module of a test's file. Two packages have modules of the same name."""
    if path.startswith("tests/"):
        return importlib.import_module(path.removesuffix(".py").replace("/", "."))
    spec = spec_from_file_location(re.sub(r"\W", "_", path), ROOT / path)
    assert spec
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def flat(value: object) -> Iterator[object]:
    """The values in tuples in tuples, such as those of pytest.param."""
    if isinstance(value, tuple):
        for each in value:
            yield from flat(each)
    else:
        yield value


@pytest.mark.parametrize("test", sorted({row.test for row in rows()}))
def test_a_test_in_the_table_gets_its_blocks_from_their_pages(test):
    """By the fixture, whose blocks it must all take, or as a parameter."""
    path, _, name = test.partition("::")
    function = getattr(module_of(path), name)
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
    given = [value for mark in marks for value in flat(tuple(mark.args[1]))]
    headings = {block.heading for block in assigned(test)}
    for block in assigned(test):
        if "blocks" in inspect.signature(function).parameters:
            assert block.heading in given or not headings & set(map(str, given))
        else:
            assert block in given or block.text in given


def test_the_folders_in_the_tree_exist(blocks):
    for line in blocks.take().splitlines():
        assert (ROOT / line.split()[0]).exists(), line


# -- Commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages())
def test_a_payload_suits_both_versions_of_the_aws_cli(page):
    for block in blocks_of(page):
        assert "--cli-binary-format" not in block.text
        assert re.findall(r"--payload (?!fileb://)", block.text) == []


@pytest.mark.parametrize("page", pages())
def test_nothing_follows_a_build_that_has_failed(page):
    for block in blocks_of(page):
        lines = re.sub(r"(\\|&&)\n", r"\1 ", block.text)
        assert re.findall(r"^ *sam build(?!.* && ).*", lines, re.MULTILINE) == []
        _, *after = lines.partition("sam build")
        deploying = r"^ *(?:sam (?:deploy|local|package)|aws cloudformation deploy) .*"
        assert re.findall(deploying, "".join(after), re.MULTILINE) == []


@pytest.mark.parametrize("page", pages())
def test_a_result_of_all_pages_of_an_answer_is_not_asked_for_as_text(page):
    """With `--output text`, the AWS CLI evaluates the query for each page."""
    for block in blocks_of(page):
        command = block.text.replace("\\\n", " ")
        assert re.findall(r".*--output text.*--query '(?:length|sum|max|min)\(.*", command) == []


@pytest.mark.parametrize("page", pages())
def test_a_packages_extra_is_quoted_since_zsh_would_take_it_as_a_pattern(page):
    assert re.findall(r"pip install [\w-]+\[.*", (ROOT / page).read_text()) == []


@pytest.mark.parametrize("page", pages())
def test_the_targets_and_variables_of_make_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    typed = "\n".join(block.text for block in blocks_of(page) if block.language == "sh")
    commands = re.findall(r"^make (.+)", typed, re.MULTILINE)
    commands += re.findall(r"`make ([^`]+)`", (ROOT / page).read_text())
    for command in commands:
        words = re.sub(r'#.*|"[^"]*"', "", command).split()
        for word in words:
            variable, is_one, _ = word.partition("=")
            if is_one:
                assert re.search(rf"\b{variable}\b", makefile), word
            elif word != "…":
                target = re.sub(r"^\.venv-\w+/", ".venv-%/", word)
                assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), word


@pytest.mark.parametrize("page", pages())
def test_the_aws_operations_named_in_the_text_exist(page):
    text = (ROOT / page).read_text()
    for service, operation in re.findall(r"`aws (?!configure)([\w-]+) ([\w-]+)", text):
        names = Session().get_service_model(service).operation_names
        assert operation in {xform_name(name, "-") for name in names}


# -- Python ---------------------------------------------------------------------------------------

UNTYPED = ("--allow-untyped-defs", "--allow-untyped-calls", "--check-untyped-defs")
PAGES = ["README.md", "docs/tutorial-laptop.md", "packages/acknowledger-worker/README.md"]


def check_types(folder: Path, *examples: str, options: tuple[str, ...] = ()) -> None:
    for number, example in enumerate(examples):
        (folder / f"example_{number}.py").write_text(example)
    strictly = ("--config-file", str(ROOT / "pyproject.toml"))
    said, _, status = api.run([*strictly, *options, *map(str, folder.glob("*.py"))])
    assert status == 0, said


@pytest.mark.parametrize("page", PAGES)
def test_each_example_is_typed(page, tmp_path):
    code = "\n\n".join(texts_of(page, "python"))
    assert "import run\n" in code
    check_types(tmp_path, code)


@pytest.mark.slow
# docs/behaviour.md has only fragments.
@pytest.mark.parametrize("page", ["README.md", "docs/testing.md", "docs/peers.md"])
def test_each_example_of_the_local_codepipeline_is_typed(page, tmp_path):
    """Each is a separate file, which its package's tests run; tests are seldom typed."""
    examples = texts_of(f"packages/moto-codepipeline/{page}", "python")
    check_types(tmp_path, *examples, options=UNTYPED)
