"""Graph networks and neighbour sampling on DGL."""
