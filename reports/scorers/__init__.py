"""The report of a sweep of kind ``ranking``: how well scorers order trained architectures."""
