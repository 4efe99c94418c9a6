"""The page about a study, or about several: figures and words in one HTML file, offline."""
