"""Taking the jobs that CodePipeline offers: reads each offer, decides, and starts its execution."""

import contextlib
import functools
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

from acknowledger import bus, events, executions, intake_table, job_api, job_table, offers, upkeep
from acknowledger.config import ActionType, Query, config
from acknowledger.errors import (
    AcknowledgerError,
    ActionTypeNotFoundException,
    ActionTypeNotServed,
    ClientTokenMissing,
    ContinuedElsewhere,
    InvalidClientTokenException,
)
from acknowledger.log import about, logger
from acknowledger.moments import now
from acknowledger.room import AWAITED, GIVEN, Room

# The event STARTED may arrive before the job can be polled: Intake polls again after these pauses.
LOOK_AGAIN_SECONDS = (0.5, 1, 2, 3, 4, 5)
STARTS_AT_ONCE = 50
TYPES_AT_ONCE = 50
# After this many batches without a job that could be taken, polling stops.
FRUITLESS_BATCHES = 10
# Counted even when 0. A sweep is one action type polled on schedule without a failure.
COUNTED = ("Sweeps", "Polls", "EmptyPolls", "PollFailures", "OffersSeen", "OffersTaken")

_Offers = list[dict[str, Any]]
_Decide = Callable[[Mapping[str, Any]], offers.Execution | None]


class Taking:
    """The taking of jobs in one invocation.

    counts: the metrics, by name.
    problems: one sentence for each failure; a failure does not stop the rest.
    """

    def __init__(self, has_time: Callable[[], bool], starters: ThreadPoolExecutor) -> None:
        self.counts = Counter(dict.fromkeys(COUNTED, 0))
        self.problems: list[str] = []
        self._has_time = has_time
        self._starters = starters
        self._counting = threading.Lock()

    def on_schedule(self, _detail: Mapping[str, Any]) -> None:
        """Take the jobs offered for every action type, and repair what went wrong before.

        All types are polled at once, so that a busy one doesn't delay the others.
        """
        action_types = config().action_types
        with ThreadPoolExecutor(min(TYPES_AT_ONCE, len(action_types))) as pollers:
            list(pollers.map(functools.partial(self._take, sweeps=True), action_types))
        for unknown in config().queries.keys() - set(action_types):
            why = "the parameter Queries has a value for it, but it is not in ActionTypes"
            self._fail(f"polling {unknown}", ActionTypeNotServed(why))
        with self._trying("checking the jobs in flight"):
            if self._has_time():
                self._count(**upkeep.look_after())

    def on_started(self, detail: Mapping[str, Any]) -> None:
        """Take the job that a STARTED event announces, and any others that are offered.

        The rule matches the events of every custom action: those not served are only counted.
        """
        action_type = events.served_type(detail, set(config().action_types))
        if action_type is None:
            self._count(EventsNotServed=1)
            return
        action = detail.get("action-execution-id")
        logger.append_keys(action_type=str(action_type), action_execution_id=action)
        for wait in (0, *LOOK_AGAIN_SECONDS):
            time.sleep(wait)
            look_again = self._take(action_type, looked_for=detail)
            if not look_again or self.problems or not self._has_time():
                return
            with self._trying("looking for the job of this event"):
                # Another invocation may have taken it: then it is in the table.
                if not (action and any(job_table.of_action(action))):
                    continue
            return
        logger.info("The job of this event was not offered in time: the sweep will find it")

    def on_ended(self, detail: Mapping[str, Any]) -> None:
        """Give an ended execution's room to the next one."""
        ended = events.started_with(detail)
        for action_type in config().action_types:
            limited = config().max_jobs_in_flight[action_type]
            if limited and (ended is None or ended["actionType"] == str(action_type)):
                intake_table.give_back(str(action_type), detail["name"])
                self._take(action_type)

    def on_resumed(self, detail: Mapping[str, Any]) -> None:
        """Take the jobs that were offered while intake was paused for these action types."""
        for action_type in events.chosen_types(detail, set(config().action_types)):
            self._take(action_type)

    def _take(
        self,
        action_type: ActionType,
        *,
        sweeps: bool = False,
        looked_for: Mapping[str, Any] = MappingProxyType({}),
    ) -> bool:
        """Take the jobs offered for an action type, as many as there is room for.

        Args:
            sweeps: also release the room of executions that ended unnoticed, and count the sweep.
            looked_for: the detail of a STARTED event.

        Returns:
            whether to poll again: the event's job was not offered, and there is room for it.
        """
        try:
            name = str(action_type)
            limit = config().max_jobs_in_flight[action_type]
            properties = _properties(action_type)
            queries = deque(self._queries(action_type, properties))
            decide = functools.partial(
                offers.decide,
                state_machine_arn=config().state_machine_arn,
                action_type=action_type,
                timeouts=config().timeouts,
                secret_properties=properties.secret if properties else None,
            )
            room = intake_table.read(name, limit)
            if sweeps:
                room = upkeep.heal(room)
            room = upkeep.give_room(room)
            asked, fruitless, found = room.to_ask_for, 0, False
            while queries and asked and fruitless < FRUITLESS_BATCHES and self._has_time():
                query = queries.popleft()
                asked = min(asked, job_api.largest_batch(action_type))
                # Before the poll: an offer after it is the newer one.
                decide_now = functools.partial(decide, room, offered_at=now())
                batch = self._poll(action_type, asked, query)
                if not batch:
                    continue
                start = functools.partial(self._start, room=room, decide=decide_now)
                taken = [job for job in self._starters.map(start, batch) if job]
                self._count(OffersTaken=len(taken))
                found |= bool(looked_for) and any(offers.is_for(job, looked_for) for job in taken)
                fruitless = 0 if taken else fruitless + 1
                if not room.unlimited:
                    room = intake_table.read(name, limit)
                more = room.to_ask_for_after(asked, len(batch))
                if more:
                    queries.append(query)
                asked = more or room.to_ask_for
            if sweeps:
                reminders = ({"jobId": job_id} for job_id in room.unshown)
                bus.put("Job Progress", *reminders)
                self._count(Sweeps=1, ActionTypesNotServed=0)
            return bool(room.to_ask_for) and not found
        except AcknowledgerError as error:
            self._fail(f"polling {action_type}", error)
            return False

    def _queries(
        self, action_type: ActionType, properties: job_api.Properties | None
    ) -> list[Query | None]:
        """The queries to poll an action type with, in random order so that none is always last.

        Raises:
            ActionTypeNotServed
        """
        if action_type.owner == "ThirdParty" and not config().serves_partners:
            raise ActionTypeNotServed("a partner's jobs need the parameter ClientTokenPrefix")
        queries = config().queries.get(action_type, ())
        queryable = properties.queryable if properties else ""
        if queryable and not queries:
            raise ActionTypeNotServed(
                f"its property {queryable} is queryable, so that the parameter Queries must have a "
                f"value for it, for example {action_type}?{queryable}=MyProject"
            )
        for query in queries:
            if query.property != queryable:
                has = f"its queryable property is {queryable}"
                raise ActionTypeNotServed(
                    f"the parameter Queries has a value for {query.property}, but "
                    + (has if queryable else "it has no queryable property")
                )
        return random.sample(queries, len(queries)) if queries else [None]

    def _poll(self, action_type: ActionType, size: int, query: Query | None) -> _Offers:
        """Poll once, and count it."""
        try:
            batch = job_api.poll(action_type, size, query)
        except AcknowledgerError:
            self._count(Polls=1, PollFailures=1)
            raise
        self._count(Polls=1, EmptyPolls=not batch, OffersSeen=len(batch))
        return batch

    def _start(self, offer: dict[str, Any], room: Room, decide: _Decide) -> dict[str, Any] | None:
        """Start one offer's execution; return its job, or None if the offer isn't taken."""
        about_it = {"job_id": offers.job_id(offer), "action_type": room.action_type}
        if not self._has_time():
            # Starting the others of the batch took too long.
            logger.warning("Offer skipped", **about_it, reason="no time is left")
            return None
        try:
            execution = decide(job_api.details(offer))
            if execution is None:
                return None
            arn = _started(execution, room)
        except ContinuedElsewhere as error:
            logger.warning("Offer skipped", **about_it, reason=str(error))
            return None
        except (ClientTokenMissing, InvalidClientTokenException) as error:
            # Only this client's jobs are affected. The message is enough; a trace adds nothing.
            client_id, why = offer["clientId"], str(error)
            logger.error("Client token refused", **about_it, client_id=client_id, error=why)
            self._count(ClientTokensRefused=1)
            return None
        except (AcknowledgerError, AttributeError, KeyError, TypeError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
            if not isinstance(error, AcknowledgerError):
                # The job is not as documented; the others in the batch may be.
                why = f"not as documented: {why}"
            logger.warning("Offer not taken", **about_it, reason=why)
            self.problems.append(f"starting job {about_it['job_id']}: {why}")
            return None
        job = execution.start_input["job"]
        pipeline = job["data"].get("pipelineContext", {}).get("pipelineName")
        row = {**job, "jobId": job["id"], "actionType": room.action_type, "execution": arn}
        logger.info("Offer taken", **about({**row, "pipelineName": pipeline}))
        return dict(job)

    def _count(self, **more: int) -> None:
        with self._counting:
            self.counts.update(more)

    @contextlib.contextmanager
    def _trying(self, what: str) -> Iterator[None]:
        """Collect a failure here, so that the rest goes on."""
        try:
            yield
        except AcknowledgerError as error:
            self._fail(what, error)

    def _fail(self, what: str, error: AcknowledgerError) -> None:
        if isinstance(error, (ActionTypeNotFoundException, ActionTypeNotServed)):
            self._count(ActionTypesNotServed=1)
        self.problems.append(f"{what}: {type(error).__name__}: {error}")


def pause(detail: Mapping[str, Any], *, paused: bool) -> list[str]:
    """Pause intake for some action types, or resume it; return the types that are paused then.

    Raises:
        EventInvalid: an action type is not served here.
        TableUnavailable
    """
    chosen = events.chosen_types(detail, set(config().action_types))
    for action_type in chosen:
        intake_table.pause(str(action_type), paused=paused)
    logger.info(f"Intake {'paused' if paused else 'resumed'}", action_types=list(map(str, chosen)))
    rooms = (intake_table.read(str(one), 0) for one in config().action_types)
    return [room.action_type for room in rooms if room.paused]


def _properties(action_type: ActionType) -> job_api.Properties | None:
    """An action type's properties, or None if a partner's action type isn't listed."""
    try:
        return job_api.properties(action_type)
    except ActionTypeNotFoundException:
        if action_type.owner == "Custom":
            raise
        return None


def _started(execution: offers.Execution, room: Room) -> str:
    """Start an offer's execution, or find it running; return its ARN.

    If CodePipeline offers a job again with the same nonce, the name is already used. An execution
    that is still running goes on; one that ended without an acknowledgment is followed by another.
    If the running one has acknowledged the job, another is started to acknowledge it again.
    """
    name, start_input = execution.name, execution.start_input
    if not _start_as(name, start_input, room):
        running = executions.is_running(executions.arn_of(name))
        row = job_table.find(start_input["job"]["id"]) if running else None
        if not running or (row and row["status"] == "InProgress"):
            if not (room.unlimited or running):
                intake_table.give_back(room.action_type, name)
            name = execution.another_name
            _start_as(name, start_input, room)
    continued = start_input.get("continues", {}).get("jobId")
    if continued in room.awaiting:
        intake_table.expect_no_more(room.action_type, continued, room.awaiting[continued])
    return executions.arn_of(name)


def _start_as(name: str, start_input: dict[str, Any], room: Room) -> bool:
    """Start an execution with room or a place in the queue; False if its name is already used.

    A job that continues one in flight uses that one's room.
    """
    if not room.unlimited and "continues" not in start_input:
        has_room = intake_table.take(room, name, start_input["job"]["id"], start_input["offeredAt"])
        start_input = {**start_input, "room": GIVEN if has_room else AWAITED}
    return executions.start(name, start_input)
