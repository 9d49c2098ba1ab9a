"""Runs: their settings, folders, checkpoints and environment; jobs that need each other; evaluation."""
