"""The file of the probe's answers: a CodePipeline uses them as its switches.

    date = "2026-11-28"
    endpoint = "AWS"
    region = "eu-west-1"

    [switches]
    acknowledge_seconds = 60
    batch_cap = "null"

TOML has no null. Further tables are for people: how each was found, what could not be answered, and
facts without a switch.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from .behaviour import Behaviour
from .switches import SwitchError, change

SHIPPED = Path(__file__).with_name("behaviour.toml")
"""If the package has this file, a CodePipeline begins with its answers."""


def read(path: Path) -> dict[str, Any]:
    """The file's content; ``{}`` if there is none. Raises SwitchError if it can't be read."""
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SwitchError(f"{path} can't be read: {error}") from error


def load(path: Path) -> dict[str, Any]:
    """The switches that a file of answers sets, for ``switches.change``. Raises SwitchError."""
    if not path.is_file():
        raise SwitchError(f"There is no file {path}")
    found = read(path).get("switches")
    if not isinstance(found, dict):
        raise SwitchError(f"{path} must have a table [switches]")
    changes = {name: None if value == "null" else value for name, value in found.items()}
    try:
        change(Behaviour(), changes)
    except SwitchError as error:
        raise SwitchError(f"{path}: {error}") from error
    return changes


def default() -> Behaviour:
    """What a CodePipeline begins with: the package's answers, or else this project's choices."""
    behaviour = Behaviour()
    if SHIPPED.is_file():
        change(behaviour, load(SHIPPED))
    return behaviour


def write(path: Path, content: dict[str, Any]) -> None:
    """Write texts, numbers and booleans, and tables of them, atomically."""
    plain = {name: each for name, each in content.items() if not isinstance(each, dict)}
    lines = ["# Written by python -m moto_codepipeline.probe", *_lines(plain)]
    for name, table in content.items():
        if isinstance(table, dict) and table:
            lines += ["", f"[{name}]", *_lines(table)]
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_text("\n".join(lines) + "\n")
    unfinished.replace(path)


def _lines(values: dict[str, Any]) -> list[str]:
    # TOML has everything that JSON has, except null and DEL.
    return [
        f"{name} = {json.dumps('null' if value is None else value, ensure_ascii=False)}".replace(
            "\x7f", "\\u007f"
        )
        for name, value in values.items()
    ]
