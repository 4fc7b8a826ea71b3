"""Weight-sharing methods: one supernet holds every architecture, and its training is the search."""
