"""What tests of several rooms share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def load_event(name: str) -> Any:
    """A sample event by its path under events/, without .json."""
    return json.loads((ROOT / "events" / f"{name}.json").read_text())
