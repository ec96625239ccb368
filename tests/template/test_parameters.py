"""docs/parameters.md has the parameters of template.yaml."""

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
