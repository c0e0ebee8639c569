"""Sort, cluster, dedupe, coverage."""
