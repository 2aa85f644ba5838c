"""Stacks of beads: beads are found, cut out in photons, and checked before anything is fitted to them."""
