"""The probe, at random settings of all switches. PROBE_SETTINGS=200 tries 200 settings.

``faults`` makes 5 % of responses late, throttled or lost.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from moto_codepipeline import switches
from moto_codepipeline.probe.questions import QUESTIONS, Question
from probing import LARGE, NUMBERS, check, found, random_settings

SHARES = 5

#: 25 and 45 have failed once, about events.
SEEDS_OF_FAULTS = sorted({*range(int(os.environ.get("PROBE_SETTINGS", "8"))), 25, 45})


def check_setting(
    folder: Path,
    seed: int,
    questions: list[Question],
    known: dict[str, Any] | None = None,
    *,
    faults: bool = False,
) -> None:
    """A run finds a random setting, of which some switches can be given."""
    setting = random_settings(Random(seed)) | (known or {})
    given = Random(seed) if faults else None
    check(found(folder, setting, questions, faults=given), setting, questions)


@pytest.mark.parametrize("name", switches.switches())
def test_200_random_settings_have_every_value_of_a_switch(name: str) -> None:
    values = switches.choices(name) or NUMBERS[name] + LARGE.get(name, [])
    assert {random_settings(Random(seed))[name] for seed in range(200)} == {*values}


@pytest.mark.parametrize("name", sorted(LARGE))
def test_large_numbers_are_found_or_unanswered(tmp_path: Path, name: str) -> None:
    questions = [each for each in QUESTIONS if name in each.words]
    for number in LARGE[name]:
        folder = tmp_path / str(number)
        folder.mkdir()
        check_setting(folder, 0, questions, {name: number})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("PROBE_SETTINGS", "20"))))
def test_the_probe_finds_every_setting(tmp_path: Path, seed: int) -> None:
    check_setting(tmp_path, seed, QUESTIONS)


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.slow] if n > 1 else []) for n in range(SHARES)]
)
def test_a_fifth_of_the_questions_finds_its_settings(tmp_path: Path, seed: int) -> None:
    check_setting(tmp_path, 1000 + seed, QUESTIONS[seed % SHARES :: SHARES])


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS_OF_FAULTS)
def test_the_probe_finds_every_setting_in_spite_of_faults(tmp_path: Path, seed: int) -> None:
    check_setting(tmp_path, seed, QUESTIONS, faults=True)


def test_some_questions_find_their_settings_in_spite_of_faults(tmp_path: Path) -> None:
    check_setting(tmp_path, 7, QUESTIONS[1:3], faults=True)


@pytest.mark.parametrize("seed", [27, *(pytest.param(n, marks=pytest.mark.slow) for n in (32, 35))])
def test_a_large_throttle_is_found_in_spite_of_faults(tmp_path: Path, seed: int) -> None:
    questions = [each for each in QUESTIONS if "throttle" in each.words]
    check_setting(tmp_path, seed, questions, {"throttle": 99}, faults=True)
