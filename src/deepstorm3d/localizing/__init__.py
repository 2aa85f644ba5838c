"""From a movie to a list: the pipeline of network and fit, and what carries it through long movies."""
