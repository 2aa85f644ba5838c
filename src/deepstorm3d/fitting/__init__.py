"""Fits of the image model to frames: photons and background at given positions."""
