"""CloudFormation stacks: transforms, change sets, updates and rollbacks.

This uses moto's stacks, template parser and describe operations, and replaces the operations that
change a stack. SAM's translator transforms a template. Then the resources whose properties differ,
with all references resolved, are updated in place or replaced, as CloudFormation would. Resources
that are no longer needed are deleted last.

docs/local.md lists where AWS differs. There are also no nested stacks of transformed templates,
and no imports.
"""
