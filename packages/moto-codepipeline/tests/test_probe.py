"""The probe finds out how a CodePipeline is set that it knows only over HTTP."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from codepipeline_fixtures import REGION
from moto_codepipeline.probe.questions import NOT_ASKED, QUESTIONS
from moto_codepipeline.probe.run import Record, run
from probing import asked, left, random_settings, untold


def found(tmp_path: Path, setting: dict[str, Any], faults: Random | None = None) -> dict[str, Any]:
    """What a whole run finds out of a CodePipeline that is set so."""
    with asked(setting, faults=faults) as there:
        record = Record(tmp_path / "behaviour.toml", there.url, REGION)
        there.note = record.note
        probe = there.probe()
        run(probe, record, QUESTIONS, lambda _: None)
        if faults is None:
            assert left(there.service) == []
    return record.content


@pytest.mark.parametrize("faults", [False, True], ids=["answers", "faults"])
@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.slow] if n > 1 else []) for n in range(200)]
)
def test_the_probe_finds_every_setting(tmp_path: Path, seed: int, faults: bool) -> None:
    setting = random_settings(Random(seed))
    told = found(tmp_path, setting, Random(seed) if faults else None)
    unanswered = untold(setting)
    wanted = {name: value for name, value in setting.items() if name not in unanswered}
    assert (told["switches"], told["unanswered"]) == (
        wanted,
        {n: told["unanswered"].get(n) for n in unanswered - set(NOT_ASKED)},
    )
