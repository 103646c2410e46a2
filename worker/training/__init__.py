"""Training: one plan in, messages out, a model bundle at the end. Knows no queue, no store and no HTTP."""
