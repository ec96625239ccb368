"""Everything in moto that this folder replaces, and why.

`install` makes the replacements. If a newer moto has changed one of the places, it fails and says
which place, and why it is replaced.
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
ERRORS_END_ONCE = "moto lets a later failure or timeout change the end of a stopped execution"
OPERATIONS = (
    "moto has no transforms, loses the outputs of a stack created by a change set, ignores changes "
    "of parameters, replaces most resources when they change, and never rolls back"
)
PROPERTIES = "moto drops two properties that say where failed events and logs go"

REPLACED = (
    # Caches, and memory that is never freed
    Replaced(
        "moto.core.serialize:ResponseSerializer._serialize_type_structure",
        ".once:structure",
        "moto tries a dozen names, with an object for each, for every member that an answer lacks: "
        "56 % more for an UpdateItem, three times as much for a GetItem",
        "around",
    ),
    Replaced(
        "moto.moto_api._internal.moto_random:MotoRandom.get_random_string",
        ".once:random_string",
        "moto draws each character of a request's id by itself: 10 % more for a GetItem",
    ),
    Replaced(
        "moto.core.responses:method_names_from_class",
        ".once:cached",
        "moto searches all members of a service for its operations at every request: 15 % more for "
        "a GetItem, 35 % for a PutEvents",
        "around",
    ),
    Replaced(
        "moto.core.common_models:BaseModel.__new__",
        ".once:new_model",
        "moto keeps every log line, metric, item and message forever, for its dashboard: 120 for "
        "each job",
    ),
    Replaced(
        "moto.sqs.models:camelcase_to_underscores",
        ".once:cached",
        "moto converts the names of a queue's attributes for each message: three times as much for "
        "a ReceiveMessage, seven times for a SendMessage",
        "around",
    ),
    # Errors
    Replaced(
        "moto.core.exceptions:AWSError.__init__",
        ".refusal:named_error",
        "moto sends errors without a name if only their class has one, and fails without a message",
        "around",
    ),
    # DynamoDB
    Replaced(
        "moto.dynamodb.responses:DynamoHandler.call_action",
        ".dynamodb:one_at_a_time",
        "moto lets another request come between checking a condition and writing the item",
        "around",
    ),
    Replaced(
        "moto.dynamodb.models.table:Table.query",
        ".dynamodb:query",
        "moto compares each row with the key, and casts both each time: three times as much for a "
        "Query among 1,000 rows",
        "around",
    ),
    Replaced(
        "moto.dynamodb.models.table:Table.all_items",
        ".dynamodb:all_items",
        "moto casts both keys at every comparison: 65 % more for a Scan of 500 rows",
    ),
    Replaced(
        f"{DYNAMODB}.expressions:UpdateExpressionParser.make",
        ".dynamodb:parsed",
        "moto parses an expression each time, although its names and values are resolved later: "
        "24 % more for an UpdateItem",
        "around",
    ),
    Replaced(
        f"{DYNAMODB}.validators:deepcopy",
        ".dynamodb:same",
        "moto copies an expression's tree, since it changes it",
    ),
    Replaced(
        f"{DYNAMODB}.validators:Validator.validate",
        ".dynamodb:validate",
        "moto walks through an expression's tree ten times: three times as much for the UpdateItem "
        "of a new job",
        "around",
    ),
    Replaced(
        "moto.dynamodb.comparisons:ConditionExpressionParser._lex_condition_expression",
        ".dynamodb:words",
        "moto reads a condition's text twice for each request: 11 % more for an UpdateItem",
    ),
    # EventBridge
    Replaced(
        "moto.events.models:Rule.send_to_targets",
        ".events:send",
        "moto has no Lambda functions and state machines as targets, adds members to events, "
        "ignores the state of rules, and lets one failing target fail PutEvents",
    ),
    Replaced(
        "moto.events.models:EventsBackend.put_events",
        ".events:put_events",
        "moto accepts a Detail that is JSON but not an object",
        "around",
    ),
    Replaced(
        "moto.events.models:Replay.replay_events",
        ".events:replay_events",
        "moto archives the replayed events, and replays them without end",
    ),
    Replaced(
        "moto.events.models:EventPatternParser._validate_event_pattern",
        ".events:check_pattern",
        "moto lets an unknown matcher match everything",
    ),
    Replaced(
        "moto.events.models:EventBus.__init__",
        ".events:init_bus",
        "moto iterates over the rules of a bus while another thread may add one",
        "around",
    ),
    # CloudWatch Logs
    Replaced(
        "moto.logs.responses:LogsResponse.filter_log_events",
        ".logs:filtering",
        "moto lets any filter pattern but words or a phrase match everything",
        "around",
    ),
    *(
        Replaced(
            f"moto.logs.responses:LogsResponse.{name}",
            f".logs:{name}",
            "moto runs queries as if they had only fields, sort and limit",
        )
        for name in ("start_query", "get_query_results", "describe_queries")
    ),
    *(
        Replaced(
            f"moto.logs.responses:LogsResponse.{name}",
            f".logs:{name}",
            "moto can't save queries, and does not refuse to stop one",
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
        "moto runs functions only in Docker",
    ),
    Replaced(
        "moto.awslambda.models:LambdaBackend.delete_function",
        ".functions:delete_function",
        "the processes of a function must end when it is deleted",
        "around",
    ),
    Replaced(
        "moto.awslambda.responses:LambdaResponse._enrich_response",
        ".functions:keep_request_id",
        "moto answers with a new request id, which is not the invocation's id in the log",
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
        "moto appends a new event invoke config, but still reads the first one",
    ),
    # CloudWatch
    Replaced(
        "moto.sqs.models:SQSBackend.send_message",
        ".metrics:send_message",
        "moto puts no metrics of queues",
    ),
    *(
        Replaced(
            f"moto.cloudwatch.models:CloudWatchBackend.{name}",
            f".metrics:{name}",
            "moto includes metrics with more dimensions, or in other namespaces, and misses some "
            "with two dimensions",
        )
        for name in ("get_metric_statistics", "get_metric_data")
    ),
    Replaced(
        "moto.cloudwatch.models:Statistics.get_statistics_for_type",
        ".metrics:statistic",
        "moto has no percentiles",
    ),
    Replaced(
        "moto.cloudwatch.models:CloudWatchBackend.get_filtered_metrics",
        ".metrics:get_filtered_metrics",
        "moto lists a metric with no dimension, or with two, once for each of its values",
    ),
    Replaced(
        "moto.cloudwatch.responses:CloudWatchResponse.describe_alarms",
        ".alarms:describe_alarms",
        "moto evaluates no alarms, and applies only one of several filters",
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
            'moto finds a template only by a URL on AWS or on "localhost"',
        )
        for module in ("models", "responses")
    ),
    Replaced(
        "moto.cloudformation.parsing:clean_json",
        ".cloudformation.operations:clean_json",
        "moto turns AWS::NoValue in a list into null",
    ),
    Replaced(
        "moto.cloudformation.parsing:ResourceMap.__init__",
        ".cloudformation.operations:resource_map",
        "moto puts all regions into one partition",
    ),
    Replaced(
        "moto.cloudformation.models:Stack.stack_resources",
        ".cloudformation.operations:stack_resources",
        "moto lists resources that a condition excludes, without names",
    ),
    Replaced(
        "moto.cloudformation.models:Stack.parameter_list",
        ".cloudformation.operations:parameter_list",
        "moto shows a list parameter in Python's notation",
    ),
    # CloudFormation's resources
    Replaced(
        "moto.cloudformation.parsing:resource_class_from_type",
        ".cloudformation.resources:resource_class",
        "moto drops resources of unknown types, and then fails on references to them",
    ),
    Replaced(
        "moto.cloudformation.parsing:parse_resource",
        ".cloudformation.resources:parse_resource",
        "moto treats numbers written as strings as strings",
    ),
    Replaced(
        f"moto.awslambda.models:LambdaFunction.{CREATE}",
        ".cloudformation.resources:create_function",
        "moto drops most properties of a function",
    ),
    Replaced(
        f"moto.stepfunctions.models:StateMachine.{CREATE}",
        ".cloudformation.resources:create_state_machine",
        "moto creates state machines that can't run, and only from a DefinitionString",
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
        "moto has no GetAtt Arn of a state machine",
    ),
    Replaced(
        "moto.stepfunctions.models:StateMachine.get_cfn_attribute",
        ".cloudformation.resources:with_arn",
        "moto has no GetAtt Arn of a state machine",
        "around",
    ),
    Replaced(
        f"moto.dynamodb.models.table:Table.{CREATE}",
        ".cloudformation.resources:table_as_declared",
        "moto drops a table's time to live and point-in-time recovery",
        "around",
    ),
    Replaced(
        f"moto.s3.models:FakeBucket.{CREATE}",
        ".cloudformation.resources:bucket_as_declared",
        "moto drops a bucket's versioning and public access block",
        "around",
    ),
    Replaced(
        "moto.s3.models:FakeBucket.delete",
        ".cloudformation.resources:delete_bucket",
        "moto pretends to delete a bucket that is not empty",
        "new",
    ),
    Replaced(
        f"moto.iam.models:Role.{CREATE}",
        ".cloudformation.resources:role_as_declared",
        "moto stores a role's policies in a form that its API can't return, and attaches none",
        "around",
    ),
    Replaced(
        "moto.iam.models:Role.delete_from_cloudformation_json",
        ".cloudformation.resources:detaching",
        "moto can't delete a role with attached policies",
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
        "moto has no Ref of an event bus",
        "new",
    ),
    Replaced(
        "moto.events.models:Rule.physical_resource_id",
        ".cloudformation.resources:rule_name",
        "moto's Ref is wrong for a rule that is not on the default bus",
    ),
    # Step Functions
    Replaced(
        "jsonata.functions:Functions.Encoder",
        ".jsonata:Encoder",
        "the library escapes characters that JavaScript does not escape",
    ),
    Replaced(
        f"{SFN}.models:stepfunctions_parser_backends",
        ".stepfunctions:backends",
        "moto searches all executions for one or for a token, and crashes on used tokens",
    ),
    Replaced(
        f"{ASL}.common.string.string_expression:StringJSONata._eval_body",
        ".stepfunctions:eval_jsonata",
        "moto has no evaluator, and inserts values unescaped into the text of expressions",
    ),
    Replaced(
        f"{ASL}.common.string.string_expression:StringVariableSample._eval_body",
        ".stepfunctions:eval_variable_sample",
        "moto has no evaluator, and inserts values unescaped into the text of expressions",
    ),
    Replaced(
        f"{ASL}.state.state:CommonStateField._eval_body",
        ".stepfunctions:enter_state",
        "moto lets Output see what the same state's Assign has assigned",
        "around",
    ),
    Replaced(
        f"{ASL}.state.choice.comparison.comparison:ConditionStringJSONata._eval_body",
        ".stepfunctions:condition",
        "moto has no documented error for a condition that is neither true nor false",
    ),
    Replaced(
        f"{ASL}.state.choice.state_choice:StateChoice._eval_state",
        ".stepfunctions:choose",
        "moto also applies a Choice state's own Assign and Output to a rule with Default's state",
    ),
    Replaced(
        f"{ASL}.state.choice.state_choice:StateChoice._eval_state_output",
        ".stepfunctions:choice_output",
        "moto also applies a Choice state's own Assign and Output to a rule with Default's state",
    ),
    Replaced(
        f"{ASL}.state.exec.execute_state:ExecutionState._eval_state",
        ".stepfunctions:run_state",
        "moto reuses the token in a retry, loses results at the last moment, and treats the end of "
        "an execution as a failure of the interrupted task",
    ),
    Replaced(
        f"{ASL}.state.exec.execute_state:ExecutionState._construct_error_output_value",
        ".stepfunctions:error_output",
        "moto returns empty strings for a missing error and cause",
    ),
    Replaced(
        f"{ASL}.common.error_name.error_equals_decl:ErrorEqualsDecl._eval_body",
        ".stepfunctions:error_equals",
        "moto's wildcards match errors that can't be caught",
    ),
    Replaced(
        f"{ASL}.common.retry.retrier_decl:RetrierDecl._eval_body",
        ".stepfunctions:retrier",
        "moto keeps sleeping when the execution ends",
    ),
    Replaced(
        f"{ASL}.state.wait.wait_function.wait_function:WaitFunction._wait_interval",
        ".stepfunctions:wait_interval",
        "moto keeps sleeping when the execution ends",
    ),
    Replaced(
        f"{ASL}.common.path.result_path:parse",
        ".stepfunctions:parse_path",
        "moto makes a parser for each ResultPath, each time",
        "around",
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
        "moto misses a result that comes before it waits, and never reports a used token",
    ),
    Replaced(
        f"{EVAL}.states:ContextObject.update_task_token",
        ".stepfunctions:update_task_token",
        "moto misses a result that comes before it waits, and never reports a used token",
    ),
    Replaced(
        f"{TASK}.state_task_service_callback:StateTaskServiceCallback._eval_wait_for_task_token",
        ".stepfunctions:wait_for_task_token",
        "moto misses a result that comes before it waits, and never reports a used token",
    ),
    Replaced(
        f"{SFN}.quotas:to_json_str",
        ".stepfunctions:counted",
        "moto counts a state's data with non-ASCII characters escaped",
    ),
    Replaced(
        f"{EVAL}.event.event_manager:EventManager._publish_history_log",
        ".stepfunctions:publish_history_log",
        "moto writes log lines that are not JSON, and fails on their timestamps",
    ),
    Replaced(
        f"{TASK}.state_task_service_aws_sdk:StateTaskServiceAwsSdk._normalise_parameters",
        ".stepfunctions:name_parameters",
        "moto does not convert the names of a task's parameters to those of botocore",
    ),
    Replaced(
        f"{SFN}.asl.utils.boto_client:boto3",
        ".stepfunctions:clients",
        "moto creates a client for every task",
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
        "moto can't parse a definition after one with an error, nor two at once",
    ),
    Replaced(
        f"{ASL}.eval_component:EvalComponent.heap_key",
        ".stepfunctions:own_id",
        "executions share a parsed definition; its state per execution needs a key from the start",
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
        "moto omits the stop date of an execution that timed out, and writes a string output "
        "unquoted",
    ),
    Replaced(
        f"{API}.list_executions",
        ".stepfunctions:answer_list_executions",
        "moto fails if the first item of the next page ends while RUNNING executions are listed",
    ),
    *(
        Replaced(
            f"{API}.{name}", f".stepfunctions:answer_{name}", "moto lacks this operation", "new"
        )
        for name in ("list_state_machine_versions", "validate_state_machine_definition")
    ),
    Replaced(
        f"{ASL}.common.error_name.custom_error_name:CustomErrorName.__init__",
        ".stepfunctions:name_error",
        "moto fails if one of Step Functions' own errors ends a branch",
    ),
    Replaced(
        f"{API}.get_execution_history",
        ".stepfunctions:answer_get_execution_history",
        "moto returns the whole history, and ignores the request's other parameters",
    ),
)


def install(*modules: str) -> None:
    """Replace moto's code by that of these modules, or of all modules."""
    wanted = tuple(f".{module}" for module in modules)
    put((each for each in REPLACED if each.by.startswith(wanted or ".")), __package__)
