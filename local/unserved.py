"""Reports action types that are not served, so that their jobs wait, and says what to do."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import moto_codepipeline
from local.aws.server import LocalCloud
from local.page.view import stacks

LOOK_SECONDS = 1.0
#: Any other worker that polls has taken the job by then.
QUEUED_SECONDS = 5.0


class Unserved:
    """Keeps a cloud's notices about action types that are not served, and prints new ones."""

    def __init__(self) -> None:
        self._looked = 0.0
        self._found: dict[str, str] = {}
        self._told: set[str] = set()

    def tell(self, cloud: LocalCloud) -> None:
        """Update the notices, at most once in LOOK_SECONDS."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        parameters = [stack.parameters for stack in stacks(cloud.account_id, cloud.region)]
        found = dict(look(cloud.account_id, cloud.region, parameters)) if parameters else {}
        # Only what is found twice in a row: the action type may be about to be registered.
        told = {about: text for about, text in found.items() if self._found.get(about) == text}
        for about in self._told - told.keys():
            cloud.notices.pop(about, None)
        for about in told.keys() - self._told:
            print(told[about], file=sys.stderr, flush=True)
        cloud.notices.update(told)
        self._found, self._told = found, set(told)


def look(
    account_id: str, region: str, parameters: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Each action type or query that is not served, and a sentence about it.

    Args:
        parameters: the parameters of each stack.
    """
    emulator = moto_codepipeline.backend(account_id, region)
    queryable = {
        "/".join((key.owner, key.category, key.provider, key.version)): kind.queryable
        for key, kind in list(emulator.action_types.items())
        if not kind.deleted
    }
    served = {each for given in parameters for each in listed(given["ActionTypes"])}
    queries = {each for given in parameters for each in listed(given.get("Queries", ""))}
    with_tokens = [given for given in parameters if given.get("ClientTokenPrefix")]
    without_tokens = {
        each: f"{each} is not served: a partner's jobs need the parameter ClientTokenPrefix."
        for each in served - {one for given in with_tokens for one in listed(given["ActionTypes"])}
        if each.startswith("ThirdParty/")
    }
    wrong = dict(misfits(served, queries, queryable)) | without_tokens
    yield from wrong.items()
    for key, value, seconds in emulator.waiting():
        kind = "/".join((key.owner, key.category, key.provider, key.version))
        if seconds < QUEUED_SECONDS or kind in wrong:
            continue
        query = f"{kind}?{queryable.get(kind)}={value}"
        if kind not in served:
            yield kind, f"{kind} is not served, but has a waiting job: add it to ActionTypes."
        elif value is not None and query not in queries:
            yield query, f"{query} is not served, but has a waiting job: add it to Queries."


def misfits(
    served: Iterable[str], queries: Iterable[str], queryable: Mapping[str, str | None]
) -> Iterator[tuple[str, str]]:
    """Each action type in ActionTypes that can't be polled, and a sentence about it.

    Args:
        queryable: the queryable property of each registered action type, or None.
    """
    for kind in sorted(served):
        # A partner's action type is not necessarily registered in this account.
        if kind not in queryable:
            if kind.startswith("Custom/"):
                yield (
                    kind,
                    f"{kind} is not served: it is not registered, or misspelled in ActionTypes.",
                )
            continue
        needed = queryable[kind]
        given = [each.partition("?")[2] for each in queries if each.startswith(f"{kind}?")]
        wrong = [each for each in given if each.partition("=")[0] != needed]
        if wrong:
            has = (
                f"its queryable property is {needed}" if needed else "it has no queryable property"
            )
            yield kind, f"{kind} is not served: Queries has {wrong[0]}, but {has}."
        elif needed and not given:
            yield (
                kind,
                f"{kind} is not served: its property {needed} is queryable, so Queries must have "
                f"a value for it, such as {kind}?{needed}=MyProject.",
            )


def listed(parameter: str | list[str]) -> list[str]:
    """The members of a parameter that is a list."""
    members = parameter.split(",") if isinstance(parameter, str) else parameter
    return [each.strip() for each in members if each.strip()]
