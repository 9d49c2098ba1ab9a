"""The command `samplenet`."""
