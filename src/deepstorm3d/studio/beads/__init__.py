"""Panel "Beads": choose beads, find the mask that they show, and keep it."""
