"""Jobs: the worker process beside the page, cancelling and resuming."""
