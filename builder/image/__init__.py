"""A commit becomes an image: shards, layers, plan, assembly; dependencies and tool layers; verification."""
