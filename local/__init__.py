"""The deployed stack on one machine: the real template, state machine and functions, on moto."""
