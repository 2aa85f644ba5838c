"""Pixels that must not be trusted: defective ones, outliers in single frames, and saturated ones."""
