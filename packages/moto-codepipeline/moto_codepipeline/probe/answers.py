"""Writes the file of answers, which ``moto_codepipeline.answers`` reads.

Besides ``switches`` it has tables for people: how each was found, what could not be answered, and
facts without a switch. The probe's calls and their responses are next to it, in a file of the same
name that ends in ``.jsonl``.
"""

import json
from pathlib import Path
from typing import Any


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
