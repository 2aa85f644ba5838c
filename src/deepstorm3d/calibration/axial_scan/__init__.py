"""Positions of molecules from a z-stack taken without a mask."""
