"""Runs: their settings, folders, checkpoints and environment; jobs and their order; evaluation."""
