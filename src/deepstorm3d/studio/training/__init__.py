"""The panel "Train and run": long work of the folder, what it costs, how far it is and what it finds."""
