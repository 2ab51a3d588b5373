"""SALAM: a language model and a graph network over engagements, one shared model and a copy for each region."""
