"""The panel "Compare": a list against the truth, or a second list: figures, and what was matched where."""
