"""The experiments of the papers; examples/reproduce.py runs them."""
