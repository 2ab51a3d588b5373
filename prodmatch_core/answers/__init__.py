"""What becomes of members' predictions: class probabilities, or nearest neighbours."""
