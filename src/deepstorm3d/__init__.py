"""deepstorm3d: dense 3D localization microscopy with engineered point spread functions."""

__version__ = "0.1.0"
