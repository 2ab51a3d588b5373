"""Pages that gather what other pages say: figures are read out of those, never typed."""
