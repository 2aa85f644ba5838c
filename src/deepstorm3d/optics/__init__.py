"""Fourier optics: microscope, phase masks, point spread functions and their information."""
