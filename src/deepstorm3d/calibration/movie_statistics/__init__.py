"""Photons, density, background and camera of a movie, from its pixel values."""
