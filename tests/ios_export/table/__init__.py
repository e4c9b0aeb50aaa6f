"""The table of operators: at least one row for each that the evaluator claims."""
