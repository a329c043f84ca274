"""Updates of the node. So far: the health check that a started version has to pass."""
