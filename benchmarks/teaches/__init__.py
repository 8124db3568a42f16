"""Whether the data teaches a model to compare: a small one, in the drawn world, where the truth is known."""
