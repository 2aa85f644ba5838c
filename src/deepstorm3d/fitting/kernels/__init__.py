"""The joint fit in compiled code (Numba), frame by frame, for the CPU; `fitting.compiled` calls it.

scene: one frame, its expected image and likelihood;  normal: Fisher matrix and gradient;  factor: its Cholesky
factor;  climb: Levenberg-Marquardt;  photometry: photons and background at fixed positions;  division: gains of
dividing molecules. Each function does the same as its counterpart in PyTorch, which is the reference.
"""
