"""Scores of synthetic tables and the report that shows them."""
