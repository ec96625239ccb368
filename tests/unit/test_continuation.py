import re

import pytest

from acknowledger.aws import operation_model
from acknowledger.errors import ContinuedElsewhere
from acknowledger.offers import PREFIX, continued, token
from tests.unit.conftest import ENVIRONMENT

MACHINE = ENVIRONMENT["STATE_MACHINE_ARN"]
EXECUTION = f"{MACHINE.replace('stateMachine', 'execution')}:name"


@pytest.mark.parametrize(
    "job_id", ["f4f4ff82-2d11-11ea-9a5c-0242ac110002", "customer-7/deploy #42", "a:b:c", ":", "ü"]
)
@pytest.mark.parametrize("after", ["0f1e", 'a "quoted" [job], \\'])
def test_a_continuation_token_names_the_first_job_and_the_previous_one(job_id, after):
    made = token(EXECUTION, job_id, after)
    assert continued(made, MACHINE) == {"jobId": job_id, "after": after}
    assert token(EXECUTION, job_id, after) == made


def test_each_job_of_a_chain_has_a_different_token():
    assert token(EXECUTION, "a", "a") != token(EXECUTION, "a", "b")


@pytest.mark.parametrize("given", [None, "", "build-1742", "Acknowledger:x", "x" + PREFIX])
def test_a_continuation_token_of_a_worker_continues_no_job(given):
    assert continued(given, MACHINE) is None


OTHER = token(EXECUTION.replace(":Job:", ":Other:"), "job", "job")


@pytest.mark.parametrize("given", [OTHER, f"{PREFIX}job", PREFIX, f'{PREFIX}Jo:["b","b"]'])
def test_a_token_of_another_deployment_is_refused_and_the_deployment_named(given):
    machine = given.removeprefix(PREFIX).partition(":")[0]
    with pytest.raises(ContinuedElsewhere, match=f"another deployment, {machine}$"):
        continued(given, MACHINE)


@pytest.mark.parametrize("given", ["", "job", '["job"]', '["a","b","c"]', "{", "[]"])
def test_a_malformed_token_with_our_prefix_is_an_error(given):
    with pytest.raises(ValueError, match=r"."):
        continued(f"{PREFIX}Job:{given}", MACHINE)


def test_the_longest_token_is_within_codepipelines_limit():
    shape = operation_model("codepipeline", "PutJobSuccessResult").input_shape.members[
        "continuationToken"
    ]
    machine = "m" * 80
    longest = token(
        f"arn:aws:states:us-east-1:123456789012:execution:{machine}:n", "x" * 512, "y" * 512
    )
    assert len(longest) <= shape.metadata["max"]
    job_id = "f4f4ff82-2d11-11ea-9a5c-0242ac110002"
    assert re.fullmatch(r"[!-~ ]+", token(EXECUTION, job_id, job_id))
