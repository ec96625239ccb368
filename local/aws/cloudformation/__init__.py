"""CloudFormation stacks: transforms, change sets, updates and rollbacks.

This uses moto's stacks, template parser and describe operations, and replaces the operations that
change a stack. SAM's translator transforms a template. Then the resources whose properties differ,
with all references resolved, are updated in place or replaced, as CloudFormation would. Resources
that are no longer needed are deleted last.

Where AWS differs: everything is done before an operation answers, one resource after another; if
CreateStack or UpdateStack fails, its answer says so as well (the stack and its events are as on
AWS); the only macro is AWS::Serverless-2016-10-31; there are no nested stacks of transformed
templates, no stack policies, no drift detection and no imports.
"""
