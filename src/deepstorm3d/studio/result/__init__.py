"""The panel "Result": a list filtered, seen in two and three dimensions, corrected, measured and exported."""
