"""The command `samplenet`: sample and view point clouds in files."""
