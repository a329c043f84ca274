"""Writes Goni's image to a stick or disk; runs on a person's computer and is never in the image."""
