"""One distance threshold for every class, as prodmatch parts."""
