"""The command ``goni``: what an owner asks of the whole node."""
