"""The commands this distribution adds to `prodmatch`, one module each."""
