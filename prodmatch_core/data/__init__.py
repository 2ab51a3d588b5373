"""Tables: readers of every format, the embedded shop, splits, and what is known of a data set before it is used."""
