"""What a release needs: a version, locked requirements, and workflows with pinned actions."""

import json
import os
import re
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.local.fixtures import programs
from tests.support import ROOT
from tools import prose, release

CONFORMANCE = ROOT / "packages" / "moto-codepipeline" / "tests" / "conformance"
LOCKED = [
    *sorted(ROOT.glob("requirements/*.txt")),
    *(
        each / "requirements.txt"
        for each in (ROOT / "functions", ROOT / "examples" / "cdk", CONFORMANCE / "awscli")
    ),
]
AXE = ROOT / "tests" / "local" / "axe"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PIN = re.compile(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)


def pins(path: Path) -> set[tuple[str, str]]:
    return set(PIN.findall(path.read_text()))


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_requirements_are_locked_with_hashes_and_without_an_index(path):
    written = path.read_text()
    assert pins(path.with_suffix(".in")) <= pins(path)
    for entry in re.split(r"^(?=[a-z0-9])", written, flags=re.MULTILINE)[1:]:
        assert PIN.match(entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in written
    assert not re.search(r"^-", written, re.MULTILINE)  # no option, such as --index-url


@pytest.mark.parametrize("folder", [CONFORMANCE / "js", AXE], ids=lambda folder: folder.name)
def test_npm_packages_are_locked_with_hashes_and_without_a_registry(folder):
    wanted, locked = (
        json.loads((folder / name).read_text()) for name in ("package.json", "package-lock.json")
    )
    root, *packages = locked["packages"].values()
    assert root["dependencies"] == wanted["dependencies"]
    assert packages
    for each in packages:
        assert each["integrity"].startswith("sha512-"), each
        assert "resolved" not in each


def test_the_tests_run_with_the_versions_that_ship():
    shipped = pins(ROOT / "functions" / "requirements.txt")
    local, dev = (pins(ROOT / "requirements" / f"{name}.txt") for name in ("local", "dev"))
    assert shipped <= local
    # The tests' environment has both files, so that dev.txt must have no other version.
    assert not dict(local).keys() & dict(dev).keys()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_actions_to_a_commit(path):
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    for each in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


@pytest.mark.parametrize("folder", ["", *(f"packages/{name}" for name in release.PACKAGES)])
def test_the_changelog_says_what_is_new_in_this_version(folder):
    _, section = release.changes(ROOT / folder)
    assert len(section) > 100
    assert re.fullmatch(r"\d+\.\d+\.\d+", release.version_of(ROOT / folder))


def test_a_version_without_a_section_in_the_changelog_is_not_released(monkeypatch):
    monkeypatch.setattr(release, "version_of", lambda folder: "99.0.0")
    with pytest.raises(SystemExit, match=r"CHANGELOG.md has no section for version 99\.0\.0"):
        release.changes()


PUBLISHED = ["CHANGELOG.md", "tools/application.md"]
PUBLISHED += [f"packages/{name}/README.md" for name in release.PACKAGES]


@pytest.mark.parametrize("page", PUBLISHED)
def test_a_published_page_has_no_relative_links(monkeypatch, page):
    relative = re.compile(r"\]\((?!https:)")
    assert relative.search((ROOT / page).read_text())
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert not relative.search(release.published_page(ROOT / page))

    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "somebody/something")
    written = release.published_page(ROOT / page)
    assert not relative.search(written)
    here = rf"\]\(https://github.example/somebody/something/blob/v{release.VERSION}/([^)#]+)"
    linked = re.findall(here, written)
    assert linked
    assert [path for path in linked if not (ROOT / path).is_file()] == []


def test_the_notes_of_a_release_have_no_relative_links():
    where = {"GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "some/body"}
    environment = {**os.environ, **where}
    notes = programs.output_of(
        sys.executable, "tools/release.py", "--notes", environment=environment
    )
    assert "](https://github.example/some/body/blob/" in notes
    assert not re.search(r"\]\((?!https:)", notes)


def words(count: int) -> str:
    return " ".join(f"w{number}" for number in range(count))


# The first seven were once in this repository. A ~ hides each from the check of this file.
HABITS = (
    """
Nothing runs on for no~body
Who wants to know how jobs end hangs a ru~le on the same bus
0 dealt wi~th, 0 not
Who~ever CodePipeline says holds the job has the row
half with~in 2 s, nine of ten with~in 5 s
in the Chromium or Chrome that there i~s
end what do~es, or choose another port
It gives no sign of li~fe
Intake looks af~ter its jobs
The sweep men~ds the row
Places are handed o~ut
It is an aff~air of Stop
It is told o~f the end
There is no event to~ld
The call got thr~ough
The call gets thr~ough
It is to be h~ad at once
It is being wor~ked
a job work~ed by two executions
It knows~ nothing of Stop
It is a~ll the same
A Python is at h~and
The pipeline has not seen the l~ike of it
They take one ano~ther's jobs
It waits in va~in
the worker of wh~om it is
the worker whose~ it is
It takes what is th~ere
""".replace("~", "")
    .strip()
    .splitlines()
)


def plainer(text: str) -> list[str]:
    """What a text has that should be said plainly."""
    told = [problem.split(": ") for _, problem in prose.problems(text, markdown=True)]
    return [words for problem, words in told if problem == "say this plainly"]


@pytest.mark.parametrize("text", HABITS)
def test_a_habit_is_found_in_a_sentence(text):
    assert plainer(text)


@pytest.mark.parametrize("habit", prose.HABITS)
def test_each_habit_of_the_list_has_a_sentence_in_which_it_is_found(habit):
    found = {words for text in HABITS for words in plainer(text)}
    assert any(re.fullmatch(habit, words, re.IGNORECASE) for words in found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"# It gives no {'sign'} of\n    # life.", [f"say this plainly: {'sign'} of # life"]),
        (f"def test_it_is_{'told'}_of(): ...", [f"say this plainly: {'told'} of"]),
        ("See the the page.", ["a word twice: the"]),
        (f"Short. {words(41)}. Short.", ["a sentence of 41 words"]),
        (f"{words(30)}. {words(30)}\n\n```\n{words(41)}\n```\n\n- {words(40)}", []),
    ],
)
def test_prose_that_readers_stumble_over_is_found(text, found):
    assert [problem for _, problem in prose.problems(text, markdown=True)] == found


def test_the_commands_for_the_image_are_those_of_the_workflows(blocks):
    release_, ci = (
        (ROOT / ".github" / "workflows" / name).read_text() for name in ("release.yml", "ci.yml")
    )
    [pushed] = re.findall(r'image="(.+)"', release_)
    for shell, told in (
        ("${GITHUB_REPOSITORY,,}", "OWNER/acknowledger"),
        ("${GITHUB_REF_NAME#v}", "VERSION"),
    ):
        pushed = pushed.replace(shell, told)
    released, built = blocks.take_all()
    dockerfile = (ROOT / "Dockerfile").read_text()
    [port] = re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE)
    assert released == f"docker run --rm -p 127.0.0.1:{port}:{port} {pushed}\n"
    build, run = built.splitlines()
    assert f"run: {build}\n" in ci
    assert f"#   {build}\n#   {run}\n" in dockerfile
    assert run.removesuffix("acknowledger-local") == released.removesuffix(f"{pushed}\n")


IMPORT = """
import importlib.metadata, sys
import local.acknowledger, local.demo, local.serve, local.worker
import moto.server
by_module = importlib.metadata.packages_distributions()
print(*{name for module in {each.partition(".")[0] for each in sys.modules} for name in by_module.get(module, [])})
"""


@pytest.mark.slow
def test_the_demo_needs_only_what_is_in_the_image(tmp_path):
    """What the Dockerfile copies and installs is enough, and .dockerignore doesn't exclude it."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    left_out = shutil.ignore_patterns(*(one[3:] for one in ignored if one.startswith("**/")))
    copied = re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE)
    for name in {name for each in copied for name in each.split()}:
        assert {f"!{name}", f"!{name.partition('/')[0]}"} & set(ignored), name
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=left_out)
        else:
            shutil.copy(ROOT / name, tmp_path / name)

    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "installed")}
    run = partial(programs.output_of, folder=tmp_path, environment=environment)
    [install] = re.findall(r"^RUN pip (install .* packages/.+)$", dockerfile, re.MULTILINE)
    # pip from outside the environment: Debian's Python has no ensurepip to install one.
    pip = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"), "-m", "pip"
    run(*pip, "--python", sys.executable, *install.split(), "--target", "installed")
    used = {name.lower().replace("_", "-") for name in run(sys.executable, "-c", IMPORT).split()}
    installed = {name for name, _ in pins(tmp_path / "requirements" / "local.txt")}
    assert "moto" in used
    # hatchling builds our packages.
    assert used - {*release.PACKAGES} | {"hatchling"} <= installed
    assert "✓ 16 jobs" in run(sys.executable, "-m", "local", "demo")
