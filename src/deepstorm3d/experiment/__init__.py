"""The experiment: one record for a whole set-up, with presets and experiment files."""
