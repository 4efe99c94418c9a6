"""lexmove: moves through hyperparameter space, learned."""
