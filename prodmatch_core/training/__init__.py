"""Fitting a member: phases, batches, checkpoints, validation; and members that are fitted."""
