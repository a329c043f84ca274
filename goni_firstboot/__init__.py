"""The setup wizard: what a node shows and serves until it belongs to somebody.

Imports only ``goni_core``; the owner is made by the gateway, over its socket.
"""
