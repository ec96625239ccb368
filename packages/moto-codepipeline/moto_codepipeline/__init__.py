"""CodePipeline's jobs and real pipeline runs, for moto.

moto stores CodePipeline's pipelines, and reports an execution as Succeeded once it is started.
Importing this package makes moto run pipelines: an S3 source uploads its object as an artifact, and
a custom action waits for a worker that polls for its job, acknowledges it and puts a result. It
works wherever moto works, in ``mock_aws`` and in moto's server.

A backend has a ``clock`` that a test can advance, and a ``behaviour`` with a switch for everything
about the real service that is not known. Each ``mock_aws`` begins with new ones:

    backend = moto_codepipeline.backend("123456789012", "eu-west-1")
    backend.clock.advance(seconds=60)

For an HTTP endpoint, ``http.Endpoint`` lets requests change both, and checks artifact credentials.
docs/behaviour.md has the evidence for each behavior.

Partner actions (owner ThirdParty) run as well. AWS has no public operations to register their types
and to set their clients' tokens, so Python code does it. Which client an action belongs to is a
choice of this package: the account's default client, unless the action is bound to another.

    backend.register_third_party_action_type(...)
    backend.put_client(backend.default_client_id, "the partner's token")
    backend.put_client("11111111-2222-3333-4444-555555555555", "another customer's")
    backend.bind_client("11111111-2222-3333-4444-555555555555", "release")

What is due happens at the next call. A stack that may get no calls for a while calls ``tick_all``
in a loop. Events go to moto's EventBridge; to send them elsewhere, replace
``JobBackend.deliver_event``.
"""

from .behaviour import Behaviour
from .clock import Clock, ManualClock
from .credentials import CREDENTIAL_MARKS
from .install import install
from .jobs import JobStatus, NextJob
from .models import JobBackend, backend, backends, tick_all

__all__ = [
    "CREDENTIAL_MARKS",
    "Behaviour",
    "Clock",
    "JobBackend",
    "JobStatus",
    "ManualClock",
    "NextJob",
    "backend",
    "backends",
    "install",
    "tick_all",
]

install()
