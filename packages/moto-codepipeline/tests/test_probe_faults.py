"""The probe, with 5 % of responses late, throttled or lost. PROBE_SETTINGS=200 tries 200 settings."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from moto_codepipeline.probe.questions import QUESTIONS
from probing import check, found, random_settings

#: 25 and 45 have failed once, about events.
SEEDS = sorted({*range(int(os.environ.get("PROBE_SETTINGS", "8"))), 25, 45})


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_probe_finds_every_setting_in_spite_of_faults(tmp_path: Path, seed: int) -> None:
    setting = random_settings(Random(seed))
    check(found(tmp_path, setting, faults=Random(seed)), setting, QUESTIONS)


def test_some_questions_find_their_settings_in_spite_of_faults(tmp_path: Path) -> None:
    setting, questions = random_settings(Random(7)), QUESTIONS[1:3]
    content = found(tmp_path, setting, questions, faults=Random(7))
    check(content, setting, questions)


@pytest.mark.parametrize("seed", [27, *(pytest.param(n, marks=pytest.mark.slow) for n in (32, 35))])
def test_a_large_throttle_is_found_in_spite_of_faults(tmp_path: Path, seed: int) -> None:
    setting = random_settings(Random(seed)) | {"throttle": 99}
    questions = [each for each in QUESTIONS if "throttle" in each.words]
    check(found(tmp_path, setting, questions, faults=Random(seed)), setting, questions)
