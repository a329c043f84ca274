"""The node's identity: the key and the certificate that its front door shows.

The only room that makes or reads certificates.
"""
