"""Hard negatives found by ranking products for queries, exactly or approximately."""
