"""The node's identity and its household: keys, certificates, roster, peers, pairing.

The only room that makes or reads certificates. ``household`` is this node's place in it, ``roster``
what all nodes agree on, ``peers`` the others, ``pairing`` how one comes, ``service`` what runs.
"""
