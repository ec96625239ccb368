"""A release as its users get it: without the repository."""

import io
import json
import os
import re
import shlex
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from samtranslator.yaml_helper import yaml_parse

from local import acknowledger
from local.aws.server import LocalCloud
from tests.documentation import texts_of
from tests.local.fixtures import programs
from tests.local.fixtures.cloud import REGION
from tests.local.fixtures.sam import NO_PROMPTS, SAM, Project
from tests.local.test_smoke import Deployed
from tests.support import ROOT
from tools.release import NAME, PACKAGES, VERSION, bill_of_materials, changes, published, version_of

BUILDER = ROOT / ".venv-release" / "bin" / "python"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "RELEASE"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BUILDER.exists(), reason="needs make .venv-release/installed"),
]


def run(*command: str | Path, folder: Path) -> str:
    ended = programs.run(*command, folder=folder, environment=ENVIRONMENT, seconds=400)
    if "python3.13 is needed" in ended.stderr:
        pytest.skip("a release is built with python3.13, which is not installed")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make release` has built, or a new build."""
    if built := os.environ.get("RELEASE"):
        return Path(built).resolve()
    folder = tmp_path_factory.mktemp("release")
    run(BUILDER, "tools/release.py", folder, folder=ROOT)
    return folder


@pytest.fixture(scope="module")
def application(release: Path) -> dict[str, bytes]:
    """The files of the packaged application, by their names."""
    with zipfile.ZipFile(release / f"{NAME}.zip") as archive:
        return {
            name.removeprefix(f"{NAME}/"): archive.read(name) for name in sorted(archive.namelist())
        }


def metadata_of(package: Path) -> Metadata:
    """The valid metadata of a wheel or a source distribution."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as archive:
            [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            return Metadata.from_email(archive.read(name))
    with tarfile.open(package) as opened:
        [name] = [name for name in opened.getnames() if name.endswith("/PKG-INFO")]
        member = opened.extractfile(name)
        assert member
        return Metadata.from_email(member.read())


def test_two_builds_have_the_same_bytes(release, tmp_path):
    files = run("git", "ls-files", "-co", "--exclude-standard", folder=ROOT).splitlines()
    for name in files:
        if (ROOT / name).exists():
            (tmp_path / "elsewhere" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / "elsewhere" / name)
    run(BUILDER, "tools/release.py", tmp_path / "again", folder=tmp_path / "elsewhere")
    first = {path.name: path.read_bytes() for path in release.iterdir()}
    again = {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert len(first) == 6
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []


def test_pypi_takes_the_metadata_and_the_description_of_each_package(release):
    packages = [path for path in release.iterdir() if path.suffix in (".whl", ".gz")]
    assert len(packages) == 4
    for package in packages:
        metadata = metadata_of(package)
        assert metadata.description_content_type == "text/markdown"
        assert "# " in metadata.description
        assert not re.search(r"\]\((?!https:)", metadata.description)


@pytest.mark.parametrize(
    ("package", "heading"),
    [("acknowledger-worker", "Write a worker"), ("moto-codepipeline", "Over HTTP")],
)
def test_the_examples_of_a_readme_run_with_only_the_wheel_installed(
    release, tmp_path, package, heading, blocks
):
    module = package.replace("-", "_")
    # pip from outside the environment: Debian's Python has no ensurepip to install one.
    python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(python, "-m", "venv", "--without-pip", "empty", folder=tmp_path)
    alone = tmp_path / "empty" / "bin" / "python"
    install = (*pip, "--python", alone, "install", "--find-links", release)
    commands = blocks.take_all()
    assert len(commands) == 2
    for command in commands:
        program, what, name = shlex.split(command)
        assert (program, what) == ("pip", "install")
        run(*install, f"{name}=={version_of(ROOT / 'packages' / package)}", folder=tmp_path)
    run(*install, "pytest", folder=tmp_path)

    examples = texts_of(f"packages/{package}/README.md", "python")
    for number, example in enumerate(examples):
        name = f"test_{number}.py"
        (tmp_path / name).write_text(example)
        if "def test_" in example:
            pytest_ = (alone, "-m", "pytest", "-q", "-p", "no:cacheprovider")
            assert "1 passed" in run(*pytest_, name, folder=tmp_path)
        else:
            run(alone, "-W", "error", name, folder=tmp_path)
    if package == "acknowledger-worker":
        tutorial = texts_of("docs/tutorial-laptop.md", "python")
        assert "run(count_lines" in tutorial[-1]
        (tmp_path / "tutorial.py").write_text("\n".join(tutorial))
        run(alone, "-W", "error", "tutorial.py", folder=tmp_path)
    code = f"import {module}, pathlib; print(*pathlib.Path({module}.__file__).parent.iterdir())"
    assert "py.typed" in run(alone, "-c", code, folder=tmp_path)


def test_the_application_and_each_package_have_their_own_version(release, application):
    wheels = [metadata_of(wheel) for wheel in release.glob("*.whl")]
    assert {wheel.name: str(wheel.version) for wheel in wheels} == {
        package: version_of(ROOT / "packages" / package) for package in PACKAGES
    }
    template = yaml_parse(application["template.yaml"].decode())
    serverless = template["Metadata"]["AWS::ServerlessRepo::Application"]
    assert serverless["SemanticVersion"] == VERSION
    assert run(BUILDER, "tools/release.py", "--notes", folder=ROOT) == published(changes()[1], ROOT)


def test_the_bill_of_materials_names_the_packages_of_the_functions(release, application):
    written = json.loads((release / f"{NAME}.cdx.json").read_text())
    assert written == bill_of_materials(changes()[0])
    named = {(each["name"], each["version"]) for each in written["components"]}
    with zipfile.ZipFile(io.BytesIO(application["functions.zip"])) as archive:
        installed = {
            (metadata["Name"].lower().replace("_", "-"), metadata["Version"])
            for name in archive.namelist()
            if name.endswith(".dist-info/METADATA")
            for metadata in [Parser().parsestr(archive.read(name).decode())]
        }
        assert archive.testzip() is None
        assert "acknowledge.py" in archive.namelist()
        assert "__pycache__/acknowledge.cpython-313.pyc" in archive.namelist()
    assert named == installed


class Packaged(Project):
    """The packaged application, as a project for the SAM CLI."""

    def __init__(self, folder: Path, cloud: LocalCloud, files: dict[str, bytes]) -> None:
        self.files = files
        super().__init__(folder, cloud)

    def put_files(self) -> None:
        for name, content in self.files.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(content)


@pytest.fixture
def packaged(tmp_path: Path, application: dict[str, bytes]) -> Iterator[Packaged]:
    with acknowledger.cloud_with_codepipeline(port=0, region=REGION) as cloud:
        yield Packaged(tmp_path, cloud, application)


@pytest.mark.skipif(SAM is None, reason="needs the SAM CLI: make .venv-sam/installed")
def test_the_packaged_application_is_valid_and_runs_a_job_when_it_is_deployed(packaged, blocks):
    assert "is a valid SAM Template" in packaged.sam("validate", "--lint")
    typed = blocks.take()
    assert f"```sh\n{typed}```" in packaged.files["README.md"].decode()
    program, *arguments = shlex.split(typed)
    assert program == "sam"
    packaged.sam(*arguments, *NO_PROMPTS)
    [registered] = packaged.cloud.client("codepipeline").list_action_types(
        actionOwnerFilter="Custom"
    )["actionTypes"]
    assert registered["id"]["provider"] == "MyTool"
    stack = packaged.stack()
    code = packaged.cloud.client("lambda").get_function(
        FunctionName=stack.outputs["IntakeFunctionName"]
    )
    assert code["Configuration"]["CodeSize"] == len(packaged.files["functions.zip"])
    done = Deployed(packaged.cloud, stack).smoke()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(SAM is None, reason="needs the SAM CLI: make .venv-sam/installed")
def test_the_packaged_application_has_what_sam_publish_needs(packaged):
    packaged.cloud.client("s3").create_bucket(Bucket="publish")
    packaged.sam("package", "--s3-bucket", "publish", "--output-template-file", "packaged.yaml")
    template = yaml_parse((packaged.folder / "packaged.yaml").read_text())
    serverless = template["Metadata"]["AWS::ServerlessRepo::Application"]
    for field in ("LicenseUrl", "ReadmeUrl"):
        assert serverless[field].startswith("s3://publish/")
    # The limits of CreateApplication.
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,140}", serverless["Name"])
    assert re.fullmatch(r"[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?", serverless["Author"])
    assert 1 <= len(serverless["Description"]) <= 256
    assert len(serverless["Labels"]) <= 10
    assert all(re.fullmatch(r"[a-zA-Z0-9+_:/@-]{1,127}", each) for each in serverless["Labels"])
