"""Where the molecules of one channel lie in the other, from a list of each."""
