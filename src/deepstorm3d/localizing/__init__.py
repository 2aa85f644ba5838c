"""From a movie to a table of localizations: network, fit, and the processing of long movies in blocks."""
