"""QUARTS as prodmatch parts: attention word by word, and hard negatives written inside the classifier."""
