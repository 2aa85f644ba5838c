"""Panel "Movie": look at the frames of a movie, and at what a model finds in each of them."""
