"""Pieces of pages that several panels share."""
