"""The insides of attacks: loops, projections and random numbers."""
