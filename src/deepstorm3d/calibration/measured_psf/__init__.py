"""A PSF averaged from beads, without a model of the optics."""
