The sessions of an inlet with a name have it in their label, in logs, status and metrics.
