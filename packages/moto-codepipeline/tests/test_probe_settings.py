"""The probe, at random settings of all switches. PROBE_SETTINGS=200 tries 200 settings."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from moto_codepipeline import switches
from moto_codepipeline.probe.questions import QUESTIONS
from probing import LARGE, NUMBERS, check, found, random_settings

SHARES = 5


@pytest.mark.parametrize("name", switches.switches())
def test_200_random_settings_have_every_value_of_a_switch(name: str) -> None:
    values = switches.choices(name) or NUMBERS[name] + LARGE.get(name, [])
    assert {random_settings(Random(seed))[name] for seed in range(200)} == {*values}


@pytest.mark.parametrize("name", sorted(LARGE))
def test_large_numbers_are_found_or_unanswered(tmp_path: Path, name: str) -> None:
    questions = [each for each in QUESTIONS if name in each.words]
    for number in LARGE[name]:
        setting = random_settings(Random(0)) | {name: number}
        folder = tmp_path / str(number)
        folder.mkdir()
        check(found(folder, setting, questions), setting, questions)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("PROBE_SETTINGS", "20"))))
def test_the_probe_finds_every_setting(tmp_path: Path, seed: int) -> None:
    setting = random_settings(Random(seed))
    check(found(tmp_path, setting), setting, QUESTIONS)


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.slow] if n > 1 else []) for n in range(SHARES)]
)
def test_a_fifth_of_the_questions_finds_its_settings(tmp_path: Path, seed: int) -> None:
    setting, questions = random_settings(Random(1000 + seed)), QUESTIONS[seed % SHARES :: SHARES]
    check(found(tmp_path, setting, questions), setting, questions)
