"""Gain, offset and read noise of each pixel, from dark and evenly lit movies."""
