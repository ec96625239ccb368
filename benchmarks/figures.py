"""A benchmark's figures as lines of a table, and their comparison with the page that has it."""

import os
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD = "| What | Measured | Spread | Runs | Reference | Limit | Tolerance |"


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Args:
        what: what is measured.
        value: the median.
        unit: the unit after the value.
        reference: what it is compared with, and that value in the same runs.
        runs: how many; 1 if it is counted and always the same.
        low, high: the quartiles; None if it is counted.
        at_most, at_least: its limit.
        tolerance: how much the page's figure may differ, as a share of it.
        digits: the number of digits after the decimal point.
    """

    what: str
    value: float
    unit: str
    reference: str = "—"
    runs: int = 1
    low: float | None = None
    high: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    tolerance: float = 0.0
    digits: int = 2

    @classmethod
    def of(cls, what: str, values: Sequence[float], unit: str, **more: Any) -> "Figure":
        """The median of several runs, and their quartiles."""
        low, median, high = statistics.quantiles(values, n=4)
        return cls(what, median, unit, runs=len(values), low=low, high=high, **more)

    @classmethod
    def ratio(
        cls, what: str, ours: Sequence[float], theirs: Sequence[float], unit: str, **more: Any
    ) -> "Figure":
        """How many times as much ours is, from pairs of runs; the unit explains that."""
        pairs = zip(ours, theirs, strict=True)
        return cls.of(what, [mine / other for mine, other in pairs], f"× {unit}".strip(), **more)

    def line(self) -> str:
        """The line in the table."""
        spread = "—"
        if self.low is not None and self.high is not None:
            spread = f"{self._shown(self.low)} to {self._shown(self.high)}"
        reach = "—"
        if self.at_most is not None:
            reach = f"≤ {self.at_most:g}"
        if self.at_least is not None:
            reach = f"≥ {self.at_least:g}"
        tolerance = f"± {self.tolerance:.0%}" if self.tolerance else "none"
        cells = (
            self.what,
            f"{self._shown(self.value)} {self.unit}".strip(),
            spread,
            str(self.runs),
            self.reference,
            reach,
            tolerance,
        )
        return f"| {' | '.join(cells)} |"

    def missed(self) -> str | None:
        """A sentence if the limit is not met."""
        too_much = self.at_most is not None and self.value > self.at_most
        too_little = self.at_least is not None and self.value < self.at_least
        if too_much or too_little:
            return f"{self.what}: {self._shown(self.value)} {self.unit} is outside its limit"
        return None

    def differs_from(self, written: float) -> bool:
        """Whether the page's figure differs by more than the tolerance."""
        least = 0.5 * 10**-self.digits
        return bool(
            abs(self.value - written) > max(self.tolerance * abs(written), least) * (1 + 1e-9)
        )

    def _shown(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


def table(figures: Sequence[Figure]) -> str:
    """The table in Markdown, and the machine that it was measured on."""
    rule = "|" + "---|" * HEAD.strip("|").count("|") + "---|"
    lines = [HEAD, rule, *(figure.line() for figure in figures)]
    return "\n".join([*lines, "", f"Measured on {machine()}."])


def written(page: str) -> dict[str, str]:
    """The lines of a page's table by what they measure."""
    lines = page.partition(HEAD)[2].splitlines()
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}


def value_in(line: str) -> float:
    """The figure in a line of the table."""
    found = re.match(r"[\d,.]+", line.split("|")[2].strip())
    if found is None:
        raise ValueError(f"no figure in {line}")
    return float(found[0].replace(",", ""))


def problems(figures: Sequence[Figure], page: str) -> list[str]:
    """Figures outside their limit, and those that differ from a page's or aren't on it."""
    found = [missed for figure in figures if (missed := figure.missed())]
    lines = written(page)
    for figure in figures:
        line = lines.get(figure.what)
        if line is None:
            found.append(f"{figure.what}: not in the table")
        elif figure.differs_from(value_in(line)):
            found.append(
                f"{figure.what}: the table says {value_in(line):g}, but it is now {figure.value:g}"
            )
    return found


def replaced(page: str, text: str) -> str:
    """The page with its table replaced."""
    return f"{page.partition(HEAD)[0]}{text}\n"


def machine() -> str:
    """The processor, its number of cores, and the Python that runs."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    version = platform.python_version()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {version}"
