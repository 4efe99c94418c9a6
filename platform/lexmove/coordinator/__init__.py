"""Who runs what."""
