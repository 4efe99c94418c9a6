"""Past results of other tools, as finished studies of the store, from which new ones learn."""
