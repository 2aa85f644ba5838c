"""Calibration: what a microscope's own images of beads tell about its point spread function."""
