"""What is done with lists of localizations: judged, filtered, linked, freed of drift, drawn."""
