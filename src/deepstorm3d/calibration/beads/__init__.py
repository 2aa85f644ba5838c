"""Stacks of beads: found, cut out in photons, and judged before anything is fitted to them."""
