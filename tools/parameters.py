"""Writes the tables of docs/parameters.md from template.yaml: `make docs`."""

import re
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "parameters.md"
BEGIN, END = "<!-- Made from template.yaml by tools/parameters.py -->\n", "<!-- End -->\n"


def tables(template: dict[str, Any]) -> str:
    """A table for each parameter group in CloudFormation's console."""
    parameters = template["Parameters"]
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    head = "| Parameter | Default | Allowed | Meaning |\n|---|---|---|---|\n"
    return "\n".join(
        f"## {group['Label']['default']}\n\n{head}"
        + "".join(row(name, parameters[name]) for name in group["Parameters"])
        for group in groups
    )


def row(name: str, parameter: dict[str, Any]) -> str:
    default = f"`{parameter['Default']}`" if parameter["Default"] != "" else "none"
    meaning = " ".join(parameter["Description"].split()).replace("|", "\\|")
    meaning = re.sub(r"\(docs/(\w+)\.md\)", r"([\1](\1.md))", meaning)
    return f"| `{name}` | {default} | {allowed(parameter)} | {meaning} |\n"


def allowed(parameter: dict[str, Any]) -> str:
    """The values that a parameter may have."""
    if "AllowedValues" in parameter:
        return ", ".join(f"`{value}`" for value in parameter["AllowedValues"])
    if "MinValue" in parameter:
        return f"{parameter['MinValue']:,} to {parameter['MaxValue']:,}"
    if "ConstraintDescription" in parameter:
        return str(parameter["ConstraintDescription"]).removeprefix("must be ")
    return f"`{parameter['AllowedPattern']}`"


def written(page: str, template: dict[str, Any]) -> str:
    """The page with its tables replaced by those of a template."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables(template)}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    template = cfn_yaml.load(str(ROOT / "template.yaml"))
    PAGE.write_text(written(PAGE.read_text(), template))


if __name__ == "__main__":
    main()
