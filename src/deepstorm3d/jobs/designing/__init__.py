"""Masks designed, compared and handed to a modulator or a workshop."""
