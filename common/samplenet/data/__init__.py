"""Data sets: fetched, checked, read and written."""
