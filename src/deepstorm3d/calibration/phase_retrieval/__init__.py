"""Phase retrieval: the phase in the pupil that explains images of beads."""
