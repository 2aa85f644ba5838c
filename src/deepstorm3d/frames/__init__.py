"""Measurements on camera frames alone: their noise, and values that a camera cannot have recorded."""
