"""Masks the values of secret properties in logs, outcomes and progress."""

import functools
import json
import logging
import traceback
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

MASK = "****"

Mask = Callable[[str], str]

_masks: list[Mask] = []


def without(secrets: Iterable[str], text: str) -> str:
    """A text with each secret masked, also in the forms of Python, JSON and URLs."""
    forms = {
        form
        for secret in secrets
        for form in (
            secret,
            repr(secret)[1:-1],
            json.dumps(secret)[1:-1],
            urllib.parse.quote(secret, safe=""),
            urllib.parse.quote_plus(secret),
        )
        if form
    }
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


@contextmanager
def masked_log(mask: Mask) -> Iterator[None]:
    """In this context, mask the messages and traces that this process logs.

    Values passed to a logger as `extra` are not masked.
    """
    _mask_records()
    _masks.append(mask)
    try:
        yield
    finally:
        _masks.remove(mask)


@functools.cache
def _mask_records() -> None:
    """Once per process, because a factory that others have replaced can't be restored."""
    make = logging.getLogRecordFactory()

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        for mask in tuple(_masks):
            try:
                said = record.getMessage()
            except Exception:  # noqa: BLE001 - wrong arguments, which logging reports
                said = f"{record.msg} {record.args}"
            if (masked := mask(said)) != said:
                record.msg, record.args = masked, ()
            if record.exc_info and record.exc_info[0]:
                trace = "".join(traceback.format_exception(*record.exc_info)).rstrip()
                if (masked := mask(trace)) != trace:
                    record.exc_info, record.exc_text = None, masked
        return record

    logging.setLogRecordFactory(made)
