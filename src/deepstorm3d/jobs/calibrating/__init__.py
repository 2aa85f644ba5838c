"""One's own microscope: masks and PSFs from beads, settings from a movie, positions from a scan."""
