"""Networks in PyTorch, one module per search space. Plain enough to be read by a language model, and by you."""
