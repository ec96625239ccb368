"""Everything in moto that this folder replaces, and why.

`install` makes the replacements. If a newer moto has changed one of the places, it fails and says
which place, and why it is replaced.
"""

import re
from collections.abc import Iterator
from typing import Any

from moto_codepipeline.replaced import Replaced, put

SFN = "moto.stepfunctions.parser"
ASL = f"{SFN}.asl.component"
TASK = f"{ASL}.state.exec.state_task.service"
EVAL = f"{SFN}.asl.eval"
API = "moto.stepfunctions.responses:StepFunctionResponse"
STACKS = "moto.cloudformation.responses:CloudFormationResponse"

#: Each entry has one or more places. The indented text says how they are replaced, by what in this
#: folder (`*` stands for the name of the place), and why.
TABLE = f"""
# Caches, and memory that is never freed
moto.core.serialize:ResponseSerializer._serialize_type_structure
    around once:structure: moto tries a dozen names, with an object for each, for every member
    that an answer lacks: 56 % more for an UpdateItem, three times as much for a GetItem
moto.moto_api._internal.moto_random:MotoRandom.get_random_string
    instead once:random_string: moto draws each character of a request's id by itself: 10 % more
    for a GetItem
moto.core.responses:method_names_from_class
    around once:cached: moto searches all members of a service for its operations at every
    request: 15 % more for a GetItem, 35 % for a PutEvents
moto.core.common_models:BaseModel.__new__
    instead once:new_model: moto keeps every log line, metric, item and message forever, for its
    dashboard
moto.sqs.models:camelcase_to_underscores
    around once:cached: moto converts the names of a queue's attributes for each message: three
    times as much for a ReceiveMessage, seven times for a SendMessage

# Errors
moto.core.exceptions:AWSError.__init__
    around refusal:named_error: moto sends errors without a name if only their class has one,
    and fails without a message

# DynamoDB
moto.dynamodb.responses:DynamoHandler.call_action
    around dynamodb:one_at_a_time: moto lets another request come between checking a condition
    and writing the item
moto.dynamodb.models.table:Table.query
    around dynamodb:query: moto compares each row with the key, and casts both each time: three
    times as much for a Query among 1,000 rows
moto.dynamodb.models.table:Table.all_items
    instead dynamodb:all_items: moto casts both keys at every comparison: 65 % more for a Scan
    of 500 rows
moto.dynamodb.parsing.expressions:UpdateExpressionParser.make
    around dynamodb:parsed: moto parses an expression each time, although its names and values
    are resolved later: 24 % more for an UpdateItem
moto.dynamodb.parsing.validators:deepcopy
    instead dynamodb:same: moto copies an expression's tree, since it changes it: 65 % more for
    an UpdateItem
moto.dynamodb.parsing.validators:Validator.validate
    around dynamodb:validate: moto walks through an expression's tree ten times: three times as
    much for an UpdateItem of a new item
moto.dynamodb.comparisons:ConditionExpressionParser._lex_condition_expression
    instead dynamodb:words: moto reads a condition's text twice for each request: 11 % more for
    an UpdateItem

# EventBridge
moto.events.models:Rule.send_to_targets
    instead events:send: moto has no Lambda functions and state machines as targets, adds
    members to events, ignores the state of rules, and lets one failing target fail PutEvents
moto.events.models:EventsBackend.put_events
    around events:put_events: moto accepts a Detail that is JSON but not an object
moto.events.models:Replay.replay_events
    instead events:replay_events: moto archives the replayed events, and replays them without
    end
moto.events.models:EventPatternParser._validate_event_pattern
    instead events:check_pattern: moto lets an unknown matcher match everything
moto.events.models:EventBus.__init__
    around events:init_bus: moto iterates over the rules of a bus while another thread may add
    one

# CloudWatch Logs
moto.logs.responses:LogsResponse.filter_log_events
    around logs:filtering: moto lets any filter pattern but words or a phrase match everything
moto.logs.responses:LogsResponse.start_query
moto.logs.responses:LogsResponse.get_query_results
moto.logs.responses:LogsResponse.describe_queries
    instead refusal:missing: moto runs queries as if they had only fields, sort and limit
moto.logs.responses:LogsResponse.put_query_definition
moto.logs.responses:LogsResponse.describe_query_definitions
moto.logs.responses:LogsResponse.delete_query_definition
    new logs:*: moto can't save queries

# Lambda
moto.awslambda.models:LambdaFunction.invoke
    instead functions:invoke: moto runs functions only in Docker
moto.awslambda.models:LambdaBackend.delete_function
    around functions:delete_function: the processes of a function must end when it is deleted
moto.awslambda.responses:LambdaResponse._enrich_response
    around functions:keep_request_id: moto answers with a new request id, which is not the
    invocation's id in the log
moto.awslambda.models:LambdaFunction.__init__
    around functions:init_and_keep: moto drops two properties that say where failed events and
    logs go
moto.awslambda.models:LambdaFunction.get_configuration
    around functions:get_all_configuration: moto drops two properties that say where failed
    events and logs go
moto.awslambda.models:LambdaFunction.update_configuration
    around functions:update_all_configuration: moto drops two properties that say where failed
    events and logs go
moto.awslambda.models:LambdaBackend.put_function_event_invoke_config
    instead functions:put_event_invoke_config: moto appends a new event invoke config, but still
    reads the first one

# CloudWatch
moto.cloudwatch.models:CloudWatchBackend.get_metric_statistics
moto.cloudwatch.models:CloudWatchBackend.get_metric_data
    instead metrics:*: moto includes metrics with more dimensions, or in other namespaces, and
    misses some with two dimensions
moto.cloudwatch.models:Statistics.get_statistics_for_type
    instead metrics:statistic: moto has no percentiles
moto.cloudwatch.models:CloudWatchBackend.get_filtered_metrics
    instead metrics:get_filtered_metrics: moto lists a metric with no dimension, or with two,
    once for each of its values
moto.cloudwatch.responses:CloudWatchResponse.describe_alarms
    instead alarms:describe_alarms: moto evaluates no alarms, and applies only one of several
    filters

# CloudFormation's stacks
{STACKS}.create_change_set
{STACKS}.create_stack
{STACKS}.delete_change_set
{STACKS}.delete_stack
{STACKS}.describe_change_set
{STACKS}.execute_change_set
{STACKS}.get_template
{STACKS}.list_change_sets
{STACKS}.update_stack
{STACKS}.validate_template
    instead cloudformation.operations:*: moto has no transforms, loses the outputs of a stack
    created by a change set, ignores changes of parameters, replaces most resources when they
    change, and never rolls back
moto.cloudformation.models:get_stack_from_s3_url
moto.cloudformation.responses:get_stack_from_s3_url
    instead cloudformation.operations:template_at: moto finds a template only by a URL on AWS or
    on "localhost"
moto.cloudformation.parsing:clean_json
    instead cloudformation.operations:clean_json: moto turns AWS::NoValue in a list into null
moto.cloudformation.parsing:ResourceMap.__init__
    instead cloudformation.operations:resource_map: moto puts all regions into one partition
moto.cloudformation.models:Stack.stack_resources
    instead cloudformation.operations:stack_resources: moto lists resources that a condition
    excludes, without names
moto.cloudformation.models:Stack.parameter_list
    instead cloudformation.operations:parameter_list: moto shows a list parameter in Python's
    notation

# CloudFormation's resources
moto.cloudformation.parsing:resource_class_from_type
    instead cloudformation.resources:resource_class: moto drops resources of unknown types, and
    then fails on references to them
moto.cloudformation.parsing:parse_resource
    instead cloudformation.resources:parse_resource: moto treats numbers written as strings as
    strings
moto.awslambda.models:LambdaFunction.create_from_cloudformation_json
    instead cloudformation.resources:create_function: moto drops most properties of a function
moto.stepfunctions.models:StateMachine.create_from_cloudformation_json
    instead cloudformation.resources:create_state_machine: moto creates state machines that
    can't run, and only from a DefinitionString
moto.stepfunctions.models:StateMachine.delete
    new cloudformation.resources:delete_state_machine: moto can't delete a stack's state machine
moto.stepfunctions.models:StateMachine.has_cfn_attr
    instead cloudformation.resources:has_any_attribute: moto has no GetAtt Arn of a state
    machine
moto.stepfunctions.models:StateMachine.get_cfn_attribute
    around cloudformation.resources:with_arn: moto has no GetAtt Arn of a state machine
moto.dynamodb.models.table:Table.create_from_cloudformation_json
    around cloudformation.resources:table_as_declared: moto drops a table's time to live and
    point-in-time recovery
moto.s3.models:FakeBucket.create_from_cloudformation_json
    around cloudformation.resources:bucket_as_declared: moto drops a bucket's versioning and
    public access block
moto.s3.models:FakeBucket.delete
    new cloudformation.resources:delete_bucket: moto pretends to delete a bucket that is not
    empty
moto.iam.models:Role.create_from_cloudformation_json
    around cloudformation.resources:role_as_declared: moto stores a role's policies in a form
    that its API can't return, and attaches none
moto.iam.models:Role.delete_from_cloudformation_json
    around cloudformation.resources:detaching: moto can't delete a role with attached policies
moto.iam.models:ManagedPolicy.delete
    new cloudformation.resources:delete_managed_policy: moto leaves a deleted policy attached
moto.events.models:EventBus.create_from_cloudformation_json
    around cloudformation.resources:bus_as_declared: moto drops an event bus's description
moto.events.models:EventBus.physical_resource_id
    new cloudformation.resources:bus_name: moto has no Ref of an event bus
moto.events.models:Rule.physical_resource_id
    instead cloudformation.resources:rule_name: moto's Ref is wrong for a rule that is not on
    the default bus

# Step Functions
jsonata.functions:Functions.Encoder
    instead jsonata:Encoder: the library escapes characters that JavaScript does not escape
{SFN}.models:stepfunctions_parser_backends
    instead stepfunctions:backends: moto searches all executions for one or for a token, and
    crashes on used tokens
{ASL}.common.string.string_expression:StringJSONata._eval_body
    instead stepfunctions:eval_jsonata: moto has no evaluator, and inserts values unescaped into
    the text of expressions
{ASL}.common.string.string_expression:StringVariableSample._eval_body
    instead stepfunctions:eval_variable_sample: moto has no evaluator, and inserts values
    unescaped into the text of expressions
{ASL}.state.state:CommonStateField._eval_body
    around stepfunctions:enter_state: moto lets Output see what the same state's Assign has
    assigned
{ASL}.state.choice.comparison.comparison:ConditionStringJSONata._eval_body
    instead stepfunctions:condition: moto has no documented error for a condition that is
    neither true nor false
{ASL}.state.choice.state_choice:StateChoice._eval_state
    instead stepfunctions:choose: moto also applies a Choice state's own Assign and Output to a
    rule with Default's state
{ASL}.state.choice.state_choice:StateChoice._eval_state_output
    instead stepfunctions:choice_output: moto also applies a Choice state's own Assign and
    Output to a rule with Default's state
{ASL}.state.exec.execute_state:ExecutionState._eval_state
    instead stepfunctions:run_state: moto reuses the token in a retry, loses results at the last
    moment, and treats the end of an execution as a failure of the interrupted task
{ASL}.state.exec.execute_state:ExecutionState._construct_error_output_value
    instead stepfunctions:error_output: moto returns empty strings for a missing error and cause
{ASL}.common.error_name.error_equals_decl:ErrorEqualsDecl._eval_body
    instead stepfunctions:error_equals: moto's wildcards match errors that can't be caught
{ASL}.common.retry.jitter_strategy_decl:JitterStrategyDecl._eval_body
    around stepfunctions:wait_for_retry: moto keeps sleeping when the execution ends
{ASL}.state.wait.wait_function.wait_function:WaitFunction._wait_interval
    instead stepfunctions:wait_interval: moto keeps sleeping when the execution ends
{EVAL}.environment:Environment.set_ended
{EVAL}.environment:Environment.set_error
{EVAL}.environment:Environment.set_timed_out
{EVAL}.environment:Environment.set_stop
    around stepfunctions:end_once: moto lets a later failure or timeout change the end of a
    stopped execution
{EVAL}.callback.callback:CallbackPoolManager.add
    instead stepfunctions:add_token: moto misses a result that comes before it waits, and never
    reports a used token
{EVAL}.states:ContextObject.update_task_token
    instead stepfunctions:update_task_token: moto misses a result that comes before it waits,
    and never reports a used token
{TASK}.state_task_service_callback:StateTaskServiceCallback._eval_wait_for_task_token
    instead stepfunctions:wait_for_task_token: moto misses a result that comes before it waits,
    and never reports a used token
{SFN}.backend.execution:ExecutionWorker
    instead stepfunctions:Worker: moto has no environment to stop before an execution's thread runs
{SFN}.quotas:to_json_str
    instead stepfunctions:counted: moto counts a state's data with non-ASCII characters escaped
{EVAL}.event.event_manager:EventManager._publish_history_log
    instead stepfunctions:publish_history_log: moto writes log lines that are not JSON, and
    fails on their timestamps
{TASK}.state_task_service_aws_sdk:StateTaskServiceAwsSdk._normalise_parameters
    instead stepfunctions:name_parameters: moto does not convert the names of a task's
    parameters to those of botocore
{SFN}.asl.utils.boto_client:boto3
    instead stepfunctions:clients: moto creates a client for every task: 5 to 14 ms
{SFN}.asl.parse.asl_parser:AmazonStateLanguageParser.parse
    around stepfunctions:parsed: moto parses the definition for every execution: 0.2 s for one
    of 16 KB
{SFN}.asl.parse.preprocessor:Preprocessor.__init__
    instead stepfunctions:begin_to_parse: moto can't parse a definition after one with an error,
    nor two at once
{ASL}.eval_component:EvalComponent.heap_key
    instead stepfunctions:own_id: executions share a parsed definition; its state per execution
    needs a key from the start
{API}.send_task_failure
    instead stepfunctions:answer_send_task_failure: moto drops the cause of a failure
{API}.stop_execution
    instead stepfunctions:answer_stop_execution: moto drops the error and cause of a stop
{API}.describe_execution
    instead stepfunctions:answer_describe_execution: moto omits the stop date of an execution
    that timed out, and writes a string output unquoted
{API}.list_executions
    instead stepfunctions:answer_list_executions: moto fails if the first item of the next page
    ends while RUNNING executions are listed
{API}.list_state_machine_versions
    new stepfunctions:answer_list_state_machine_versions: moto lacks this operation
{API}.validate_state_machine_definition
    new stepfunctions:answer_validate_state_machine_definition: moto lacks this operation
{ASL}.common.error_name.custom_error_name:CustomErrorName.__init__
    instead stepfunctions:name_error: moto fails if one of Step Functions' own errors ends a
    branch
{API}.get_execution_history
    instead stepfunctions:answer_get_execution_history: moto returns the whole history, and
    ignores the request's other parameters
"""


def read(table: str) -> Iterator[Replaced]:
    """Yield the replacements in a table."""
    for places, text in re.findall(r"^((?:\S+\n)+)((?: {4}.+\n)+)", table, re.MULTILINE):
        how: Any
        how, by, why = " ".join(text.split()).split(" ", 2)
        for place in places.split():
            name = re.split("[.:]", place)[-1]
            yield Replaced(place, f".{by.removesuffix(':').replace('*', name)}", why, how)


REPLACED = tuple(read(TABLE))


def install(*modules: str) -> None:
    """Replace moto's code by that of these modules, or of all modules."""
    wanted = tuple(f".{module}" for module in modules)
    put((each for each in REPLACED if each.by.startswith(wanted or ".")), __package__)
