"""CloudFormation's stacks as programs deploy them: transforms, change sets, updates, rollbacks.

moto's stacks, its parser of templates and its descriptions stay; what changes a stack is here.
A template goes through SAM's own translator, and then the stack is made to be what it says:
resources whose properties, with all references resolved, differ from before are changed in place
where CloudFormation would, others are replaced, and what is no longer wanted is deleted last.

Where AWS differs: everything is done before an operation answers, one resource after another;
CreateStack and UpdateStack that fail say so in their answer, too (stack and events are as they
would be); the only macro is AWS::Serverless-2016-10-31; there are no nested stacks of transformed
templates, stack policies, drift or imports.
"""
