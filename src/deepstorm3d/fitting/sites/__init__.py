"""Molecules that shine through several frames, fitted as one position each with its own photons in each frame.

state: sites and their looks;  frames: the likelihood of one frame around a state;  climb: the fit of all
frames; covariance: bounds and score tests;  start: from a list of single frames to sites;  ties: which looks
are one molecule;  looks: in which frames a molecule shines;  fit: all of it, from a list to a list.
"""
