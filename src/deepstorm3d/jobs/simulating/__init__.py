"""Movies and snapshots drawn from an experiment, and the physical limit of what they tell."""
