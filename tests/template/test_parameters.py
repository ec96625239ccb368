"""docs/parameters.md has the parameters of template.yaml."""

import re

import pytest
from cfnlint.decode import cfn_yaml

from tests.support import ROOT
from tools import parameters

TEMPLATE = cfn_yaml.load(str(ROOT / "template.yaml"))


def test_the_page_has_the_templates_parameters():
    page = parameters.PAGE.read_text()
    assert parameters.written(page, TEMPLATE) == page, "run tools/parameters.py"


def test_every_parameter_is_in_a_group():
    page = parameters.PAGE.read_text()
    assert [name for name in TEMPLATE["Parameters"] if f"| `{name}` |" not in page] == []


def test_the_readme_leads_to_the_values_of_queryable_properties():
    """Without them, the jobs of AWS's own example of a custom action are never offered."""
    assert (
        "[`Queries`](docs/deployment.md#queryable-properties)" in (ROOT / "README.md").read_text()
    )
    assert "### Queryable properties\n" in (ROOT / "docs" / "deployment.md").read_text()


@pytest.mark.parametrize("page", ["docs/performance.md", "docs/workers.md"])
def test_it_is_not_promised_that_codepipeline_waits_longer_than_a_day(page):
    text = " ".join((ROOT / page).read_text().split())
    assert re.search(
        r"not known whether CodePipeline|whether CodePipeline \S+ that long is .?not", text
    )


@pytest.mark.parametrize(
    "page",
    [
        *("docs/partners.md", "docs/codepipeline.md", "docs/parameters.md"),
        "packages/moto-codepipeline/docs/behaviour.md",
    ],
)
def test_a_partners_action_is_given_an_hour_only_by_default(page):
    """UpdateActionType: jobTimeout is "the timeout for a single job, not the entire action"."""
    said = re.split(r"\.|\n(?=[-|\n])", (ROOT / page).read_text())
    told = [one for one in said if re.search(r"[Pp]artner.* hour", one, re.DOTALL)]
    assert told
    assert not [one for one in told if re.search("`jobTimeout`.* says otherwise", one, re.DOTALL)]
    text = " ".join("".join(said).split())
    assert re.search("by default|`jobTimeout`[^|]* a single job|unless its type has a `job", text)
