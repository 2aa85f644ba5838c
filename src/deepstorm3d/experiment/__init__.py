"""The experiment: one record for a whole set-up, its presets, and experiment files."""
