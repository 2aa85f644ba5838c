"""Pictures of localization tables as arrays: which part is drawn, on which pixels, in which colours."""
