"""A pipeline is updated while executions are in progress: they are canceled, or go on."""

from codepipeline_fixtures import Service, code_of, context, each_owner

pytestmark = each_owner


def update(service: Service) -> None:
    structure = service.structure([service.action("Build")], [service.action("Deploy")])
    service.api.update_pipeline(pipeline=structure)


def test_an_execution_in_progress_is_canceled(service: Service) -> None:
    job = service.job()
    service.succeed(job, continuationToken="t", executionDetails={"summary": "half"})
    [execution_id] = service.summaries()
    service.clock.advance(7)
    service.entries.clear()
    update(service)
    assert service.status(execution_id) == "Cancelled"
    assert service.summaries()[execution_id]["status"] == "Cancelled"
    assert service.stage("Stage2")["latestExecution"]["status"] == "Cancelled"
    # The model has no Cancelled for actions.
    assert service.action_statuses() == {"Build": "Abandoned"}
    assert service.events() == [
        ("Action", "Build", "CANCELED"),
        ("Stage", "Stage2", "CANCELED"),
        ("Pipeline", "release", "CANCELED"),
    ]
    [canceled] = service.details("Action", "CANCELED")
    assert canceled["action-execution-id"] == context(job)["action"]["actionExecutionId"]
    assert "execution-result" not in canceled
    assert code_of(service.retry, execution_id) == "StageNotRetryableException"
    assert code_of(service.stop, execution_id) == "PipelineExecutionNotStoppableException"


def test_the_job_of_a_canceled_action_is_like_that_of_an_abandoned_one(service: Service) -> None:
    job = service.job()
    [execution_id] = service.summaries()
    update(service)
    assert code_of(service.acknowledge, job) == "InvalidNonceException"
    service.succeed(job)
    service.clock.advance(24 * 60 * 60)
    assert service.poll() == []
    assert service.status(execution_id) == "Cancelled"


def test_executions_that_wait_or_are_being_stopped_are_canceled_too(service: Service) -> None:
    service.register()
    service.create()
    stopping, waiting = service.start(), service.start()
    service.stop(stopping)
    update(service)
    assert [service.status(each) for each in (stopping, waiting)] == ["Cancelled", "Cancelled"]
    assert service.poll() == []
    for _ in range(2):
        later = service.start()
        service.succeed(service.take())
        service.succeed(service.take())
        assert service.status(later) == "Succeeded"


def test_executions_that_have_ended_stay_as_they_are(service: Service) -> None:
    service.succeed(service.job())
    [execution_id] = service.summaries()
    service.entries.clear()
    update(service)
    assert service.status(execution_id) == "Succeeded"
    assert service.entries == []


def test_an_update_that_is_refused_cancels_nothing(service: Service) -> None:
    service.job()
    [execution_id] = service.summaries()
    unknown = service.action("Build") | {"actionTypeId": service.type_id | {"provider": "Other"}}
    code = code_of(service.api.update_pipeline, pipeline=service.structure([unknown]))
    assert code == "InvalidActionDeclarationException"
    assert service.status(execution_id) == "InProgress"


def test_other_pipelines_are_not_touched(service: Service) -> None:
    service.job()
    service.create(name="other")
    execution_id = service.start("other")
    update(service)
    assert service.status(execution_id, "other") == "InProgress"


def test_a_switch_lets_the_execution_go_on_and_keep_its_stage(service: Service) -> None:
    service.behaviour.update_under_way = "leave"
    first = service.job()
    update(service)
    service.start()
    assert service.poll() == []
    service.succeed(first)
    service.succeed(service.take())
    service.succeed(service.take())
    assert [each["status"] for each in service.summaries().values()] == ["Succeeded"] * 2
