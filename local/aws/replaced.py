"""Everything of moto that this folder replaces, and why.

`install` puts it in its place; it fails, saying what and why, where a newer moto has changed in it.
"""

from moto_codepipeline.replaced import Replaced, put

SFN = "moto.stepfunctions.parser"
ASL = f"{SFN}.asl.component"
TASK = f"{ASL}.state.exec.state_task.service"
EVAL = f"{SFN}.asl.eval"
API = "moto.stepfunctions.responses:StepFunctionResponse"
DYNAMODB = "moto.dynamodb.parsing"
STACKS = "moto.cloudformation.responses:CloudFormationResponse"
CREATE = "create_from_cloudformation_json"
ERRORS_END_ONCE = "moto lets what fails or times out after it was stopped end as that"
OPERATIONS = (
    "moto knows no transforms, loses the outputs of a stack made by a change set, sees no changes "
    "of parameters, replaces most resources when they change, and never rolls back"
)
PROPERTIES = "moto drops two properties that say where failed events and logs go"

REPLACED = (
    # What moto finds out for every request, and never forgets
    Replaced(
        "moto.core.serialize:XFormedAttributePicker.get_possible_keys",
        ".once:possible_keys",
        "moto tries a dozen names, and makes an object for each, for each member an answer lacks: "
        "26 % of an UpdateItem more, 80 % of a GetItem",
    ),
    Replaced(
        "moto.core.responses:method_names_from_class",
        ".once:cached",
        "moto looks through all that a service has for the operations in it: 15 % of a GetItem "
        "more, 35 % of a PutEvents",
        "around",
    ),
    Replaced(
        "moto.core.common_models:BaseModel.__new__",
        ".once:new_model",
        "moto keeps every log line, metric, item and message there ever was, for its dashboard: "
        "120 for each job",
    ),
    # Errors
    Replaced(
        "moto.core.exceptions:AWSError.__init__",
        ".refusal:named_error",
        "moto answers errors without a name where only their class has it, and fails without text",
        "around",
    ),
    # DynamoDB
    Replaced(
        "moto.dynamodb.responses:DynamoHandler.call_action",
        ".dynamodb:one_at_a_time",
        "moto lets another request come between a condition and what is then written",
        "around",
    ),
    Replaced(
        "moto.dynamodb.models.table:Table.all_items",
        ".dynamodb:all_items",
        "moto compares two keys by what both are cast to, each time: 65 % of a Query among 500 "
        "rows more",
    ),
    Replaced(
        f"{DYNAMODB}.expressions:UpdateExpressionParser.make",
        ".dynamodb:parsed",
        "moto parses an expression each time, though what its words stand for is asked later: "
        "24 % of an UpdateItem more",
        "around",
    ),
    Replaced(
        f"{DYNAMODB}.validators:deepcopy",
        ".dynamodb:copied",
        "moto changes a copy of an expression's tree, made node by node: 21 % of an UpdateItem "
        "more",
    ),
    *(
        Replaced(
            f"{DYNAMODB}.validators:{validator}.traverse",
            ".dynamodb:process",
            "moto has what looks through a whole tree look through each of its branches, too: "
            "26 % of an UpdateItem more",
        )
        for validator in ("ActionCountValidator", "OverlappingPathsValidator")
    ),
    # EventBridge
    Replaced(
        "moto.events.models:Rule.send_to_targets",
        ".events:send",
        "moto knows no Lambda functions and no state machines as targets, adds members to events, "
        "ignores states, and lets one failing target fail PutEvents",
    ),
    Replaced(
        "moto.events.models:EventsBackend.put_events",
        ".events:put_events",
        "moto takes a Detail that is JSON, but no object",
        "around",
    ),
    Replaced(
        "moto.events.models:Replay.replay_events",
        ".events:replay_events",
        "moto archives what it replays, and replays that without end",
    ),
    Replaced(
        "moto.events.models:EventPatternParser._validate_event_pattern",
        ".events:check_pattern",
        "moto takes a matcher that it does not know for one that matches everything",
    ),
    Replaced(
        "moto.events.models:EventBus.__init__",
        ".events:init_bus",
        "moto iterates over the rules of a bus while others may be put",
        "around",
    ),
    # CloudWatch Logs
    Replaced(
        "moto.logs.models:LogStream.filter_log_events",
        ".filter_patterns:filter_log_events",
        "moto lets every pattern match that is no word or phrase, and reads it for every message",
    ),
    *(
        Replaced(
            f"moto.logs.responses:LogsResponse.{name}",
            f".saved_queries:{name}",
            "moto runs queries as if they had nothing but fields, sort and limit",
        )
        for name in ("start_query", "get_query_results", "describe_queries")
    ),
    *(
        Replaced(
            f"moto.logs.responses:LogsResponse.{name}",
            f".saved_queries:{name}",
            "moto can't save queries, and does not say that it can't stop one",
            "new",
        )
        for name in (
            "put_query_definition",
            "describe_query_definitions",
            "delete_query_definition",
            "stop_query",
        )
    ),
    # Lambda
    Replaced(
        "moto.awslambda.models:LambdaFunction.invoke",
        ".functions:invoke",
        "moto runs functions in Docker, or not at all",
    ),
    Replaced(
        "moto.awslambda.models:LambdaBackend.delete_function",
        ".functions:delete_function",
        "moto knows of no processes that end with their function",
        "around",
    ),
    Replaced(
        "moto.awslambda.responses:LambdaResponse._enrich_response",
        ".functions:keep_request_id",
        "moto answers every request with an id of its own, but an invocation's is in the log",
        "around",
    ),
    Replaced(
        "moto.awslambda.models:LambdaFunction.__init__",
        ".functions:init_and_keep",
        PROPERTIES,
        "around",
    ),
    Replaced(
        "moto.awslambda.models:LambdaFunction.get_configuration",
        ".functions:get_all_configuration",
        PROPERTIES,
        "around",
    ),
    Replaced(
        "moto.awslambda.models:LambdaFunction.update_configuration",
        ".functions:update_all_configuration",
        PROPERTIES,
        "around",
    ),
    Replaced(
        "moto.awslambda.models:LambdaBackend.put_function_event_invoke_config",
        ".functions:put_event_invoke_config",
        "moto appends a new event invoke config, and goes on reading the first",
    ),
    # CloudWatch
    Replaced(
        "moto.sqs.models:SQSBackend.send_message",
        ".metrics:send_message",
        "moto puts no data of its own for queues",
    ),
    *(
        Replaced(
            f"moto.cloudwatch.models:CloudWatchBackend.{name}",
            f".metrics:{name}",
            "moto takes metrics with more dimensions for the one that is asked for, or such with "
            "the same dimensions in other namespaces, and misses some that have two",
        )
        for name in ("get_metric_statistics", "get_metric_data")
    ),
    Replaced(
        "moto.cloudwatch.models:Statistics.get_statistics_for_type",
        ".metrics:statistic",
        "moto knows no percentiles",
    ),
    Replaced(
        "moto.cloudwatch.models:CloudWatchBackend.get_filtered_metrics",
        ".metrics:get_filtered_metrics",
        "moto lists a metric with no dimension, or with two, once for each value of it",
    ),
    Replaced(
        "moto.cloudwatch.responses:CloudWatchResponse.describe_alarms",
        ".alarms:describe_alarms",
        "moto evaluates no alarm, and heeds only one of several filters",
    ),
    # CloudFormation's stacks
    *(
        Replaced(f"{STACKS}.{name}", f".cloudformation.operations:{name}", OPERATIONS)
        for name in (
            "create_change_set",
            "create_stack",
            "delete_change_set",
            "delete_stack",
            "describe_change_set",
            "execute_change_set",
            "get_template",
            "list_change_sets",
            "update_stack",
            "validate_template",
        )
    ),
    *(
        Replaced(
            f"moto.cloudformation.{module}:get_stack_from_s3_url",
            ".cloudformation.operations:template_at",
            'moto finds a template by its address on AWS or on "localhost" only',
        )
        for module in ("models", "responses")
    ),
    Replaced(
        "moto.cloudformation.parsing:clean_json",
        ".cloudformation.operations:clean_json",
        "moto leaves a null in a list where AWS::NoValue is",
    ),
    Replaced(
        "moto.cloudformation.parsing:ResourceMap.__init__",
        ".cloudformation.operations:resource_map",
        "moto has all regions in one partition",
    ),
    Replaced(
        "moto.cloudformation.models:Stack.stack_resources",
        ".cloudformation.operations:stack_resources",
        "moto lists resources that a condition leaves out, without names",
    ),
    Replaced(
        "moto.cloudformation.models:Stack.parameter_list",
        ".cloudformation.operations:parameter_list",
        "moto shows a list among the parameters as Python writes it",
    ),
    # CloudFormation's resources
    Replaced(
        "moto.cloudformation.parsing:resource_class_from_type",
        ".cloudformation.resources:resource_class",
        "moto drops resources of types that it does not know, and then fails on references to them",
    ),
    Replaced(
        "moto.cloudformation.parsing:parse_resource",
        ".cloudformation.resources:parse_resource",
        "moto takes numbers written as strings for strings",
    ),
    Replaced(
        f"moto.awslambda.models:LambdaFunction.{CREATE}",
        ".cloudformation.resources:create_function",
        "moto drops most properties of a function",
    ),
    Replaced(
        f"moto.stepfunctions.models:StateMachine.{CREATE}",
        ".cloudformation.resources:create_state_machine",
        "moto makes state machines where nothing runs them, and only of a DefinitionString",
    ),
    Replaced(
        "moto.stepfunctions.models:StateMachine.delete",
        ".cloudformation.resources:delete_state_machine",
        "moto can't delete a stack's state machine",
        "new",
    ),
    Replaced(
        "moto.stepfunctions.models:StateMachine.has_cfn_attr",
        ".cloudformation.resources:has_any_attribute",
        "moto knows no GetAtt Arn of a state machine",
    ),
    Replaced(
        "moto.stepfunctions.models:StateMachine.get_cfn_attribute",
        ".cloudformation.resources:with_arn",
        "moto knows no GetAtt Arn of a state machine",
        "around",
    ),
    Replaced(
        f"moto.dynamodb.models.table:Table.{CREATE}",
        ".cloudformation.resources:table_as_declared",
        "moto drops a table's time to live and its backups",
        "around",
    ),
    Replaced(
        f"moto.s3.models:FakeBucket.{CREATE}",
        ".cloudformation.resources:bucket_as_declared",
        "moto drops a bucket's versioning and its block of public access",
        "around",
    ),
    Replaced(
        "moto.s3.models:FakeBucket.delete",
        ".cloudformation.resources:delete_bucket",
        "moto takes a bucket that is not empty for deleted",
        "new",
    ),
    Replaced(
        f"moto.iam.models:Role.{CREATE}",
        ".cloudformation.resources:role_as_declared",
        "moto keeps a role's policies in a form that its API can't give, and attaches none",
        "around",
    ),
    Replaced(
        "moto.iam.models:Role.delete_from_cloudformation_json",
        ".cloudformation.resources:detaching",
        "moto deletes no role that has policies attached",
        "around",
    ),
    Replaced(
        "moto.iam.models:ManagedPolicy.delete",
        ".cloudformation.resources:delete_managed_policy",
        "moto leaves a deleted policy attached",
        "new",
    ),
    Replaced(
        f"moto.events.models:EventBus.{CREATE}",
        ".cloudformation.resources:bus_as_declared",
        "moto drops an event bus's description",
        "around",
    ),
    Replaced(
        "moto.events.models:EventBus.physical_resource_id",
        ".cloudformation.resources:bus_name",
        "moto knows no Ref of an event bus",
        "new",
    ),
    Replaced(
        "moto.events.models:Rule.physical_resource_id",
        ".cloudformation.resources:rule_name",
        "moto knows a wrong Ref of a rule that is not on the default bus",
    ),
    # Step Functions
    Replaced(
        "jsonata.functions:Functions.Encoder",
        ".jsonata:Encoder",
        "the library escapes characters that JavaScript writes as they are",
    ),
    Replaced(
        f"{SFN}.models:stepfunctions_parser_backends",
        ".stepfunctions:backends",
        "moto looks through all executions for one, or for a token's, and crashes on used tokens",
    ),
    Replaced(
        f"{ASL}.common.string.string_expression:StringJSONata._eval_body",
        ".stepfunctions:eval_jsonata",
        "moto has no evaluator, and composes values into the text of expressions unescaped",
    ),
    Replaced(
        f"{ASL}.common.string.string_expression:StringVariableSample._eval_body",
        ".stepfunctions:eval_variable_sample",
        "moto has no evaluator, and composes values into the text of expressions unescaped",
    ),
    Replaced(
        f"{ASL}.state.state:CommonStateField._eval_body",
        ".stepfunctions:enter_state",
        "moto lets Output see what Assign of the same state has assigned",
        "around",
    ),
    Replaced(
        f"{ASL}.state.choice.comparison.comparison:ConditionStringJSONata._eval_body",
        ".stepfunctions:condition",
        "moto has no name that can be caught or looked up for a condition that is neither",
    ),
    Replaced(
        f"{ASL}.state.choice.state_choice:StateChoice._eval_state",
        ".stepfunctions:choose",
        "moto has a Choice state's own Assign and Output also apply to a rule that goes to Default",
    ),
    Replaced(
        f"{ASL}.state.choice.state_choice:StateChoice._eval_state_output",
        ".stepfunctions:choice_output",
        "moto has a Choice state's own Assign and Output also apply to a rule that goes to Default",
    ),
    Replaced(
        f"{ASL}.state.exec.execute_state:ExecutionState._eval_state",
        ".stepfunctions:run_state",
        "moto reuses the token in a retry, loses answers at the last moment, and takes the end of "
        "an execution for a failure of the task that it interrupts",
    ),
    Replaced(
        f"{ASL}.state.exec.execute_state:ExecutionState._construct_error_output_value",
        ".stepfunctions:error_output",
        "moto gives empty texts for an error and a cause that are not there",
    ),
    Replaced(
        f"{ASL}.common.error_name.error_equals_decl:ErrorEqualsDecl._eval_body",
        ".stepfunctions:error_equals",
        "moto's wildcards match the errors that can't be caught",
    ),
    Replaced(
        f"{ASL}.common.retry.retrier_decl:RetrierDecl._eval_body",
        ".stepfunctions:retrier",
        "moto sleeps through the end of an execution",
    ),
    Replaced(
        f"{ASL}.state.wait.wait_function.wait_function:WaitFunction._wait_interval",
        ".stepfunctions:wait_interval",
        "moto sleeps through the end of an execution",
    ),
    *(
        Replaced(
            f"{EVAL}.environment:Environment.{name}",
            ".stepfunctions:end_once",
            ERRORS_END_ONCE,
            "around",
        )
        for name in ("set_ended", "set_error", "set_timed_out", "set_stop")
    ),
    Replaced(
        f"{EVAL}.callback.callback:CallbackPoolManager.add",
        ".stepfunctions:add_token",
        "moto misses an answer that comes before it waits, and never says that a token is used up",
    ),
    Replaced(
        f"{EVAL}.states:ContextObject.update_task_token",
        ".stepfunctions:update_task_token",
        "moto misses an answer that comes before it waits, and never says that a token is used up",
    ),
    Replaced(
        f"{TASK}.state_task_service_callback:StateTaskServiceCallback._eval_wait_for_task_token",
        ".stepfunctions:wait_for_task_token",
        "moto misses an answer that comes before it waits, and never says that a token is used up",
    ),
    Replaced(
        f"{SFN}.quotas:to_json_str",
        ".stepfunctions:counted",
        "moto counts a state's data with all letters but ASCII's written as escapes",
    ),
    Replaced(
        f"{EVAL}.event.event_manager:EventManager._publish_history_log",
        ".stepfunctions:publish_history_log",
        "moto writes a log line that is no JSON, under a time of which it fails",
    ),
    Replaced(
        f"{TASK}.state_task_service_aws_sdk:StateTaskServiceAwsSdk._normalise_parameters",
        ".stepfunctions:name_parameters",
        "moto passes the names of a task's parameters on as they are",
    ),
    Replaced(
        f"{SFN}.asl.utils.boto_client:boto3",
        ".stepfunctions:clients",
        "moto makes a client for every task",
    ),
    Replaced(
        f"{SFN}.asl.parse.asl_parser:AmazonStateLanguageParser.parse",
        ".stepfunctions:parsed",
        "moto parses the definition for every execution",
        "around",
    ),
    Replaced(
        f"{SFN}.asl.parse.preprocessor:Preprocessor.__init__",
        ".stepfunctions:begin_to_parse",
        "moto reads no definition right after one with an error, nor two at once",
    ),
    Replaced(
        f"{ASL}.eval_component:EvalComponent.heap_key",
        ".stepfunctions:own_id",
        "executions share a parsed definition: what it keeps of each needs a key from the start",
    ),
    Replaced(
        f"{API}.send_task_failure",
        ".stepfunctions:answer_send_task_failure",
        "moto drops the cause of a failure",
    ),
    Replaced(
        f"{API}.stop_execution",
        ".stepfunctions:answer_stop_execution",
        "moto drops the error and cause of a stop",
    ),
    Replaced(
        f"{API}.describe_execution",
        ".stepfunctions:answer_describe_execution",
        "moto leaves out when an execution timed out, and writes an output that is a string "
        "unquoted",
    ),
    Replaced(
        f"{API}.list_executions",
        ".stepfunctions:answer_list_executions",
        "moto fails where the first of the next page is gone: ended while RUNNING ones are listed",
    ),
    *(
        Replaced(
            f"{API}.{name}", f".stepfunctions:answer_{name}", "moto has no such operation", "new"
        )
        for name in ("list_state_machine_versions", "validate_state_machine_definition")
    ),
    Replaced(
        f"{ASL}.common.error_name.custom_error_name:CustomErrorName.__init__",
        ".stepfunctions:name_error",
        "moto fails where an error of Step Functions' own ends a branch",
    ),
    Replaced(
        f"{API}.get_execution_history",
        ".stepfunctions:answer_get_execution_history",
        "moto answers with the whole history, as if nothing else was asked",
    ),
)


def install(*modules: str) -> None:
    """Put everything of these modules of ours, or of all, in moto's place."""
    wanted = tuple(f".{module}" for module in modules)
    put((each for each in REPLACED if each.by.startswith(wanted or ".")), __package__)
