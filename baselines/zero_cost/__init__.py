"""Zero-cost proxies: scores of an architecture that need no training."""
