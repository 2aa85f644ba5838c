"""Panel "Set-up": the experiment as a form, and what its numbers look like."""
