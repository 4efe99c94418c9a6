"""Outlets: other tools that configs, scores and exports go to; each asked for, none by default."""
