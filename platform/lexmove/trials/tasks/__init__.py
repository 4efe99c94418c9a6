"""The data of a task: splits, labels and where they come from."""
