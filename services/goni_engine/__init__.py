"""The engine: models on disk, chat through supervised llama-servers, embeddings in this process,
all behind one Unix socket.

A request's road: ``app`` (routes) -> ``chat`` or ``embeddings`` -> ``supervisor`` (which
llama-server) or ``embedder`` (llama-cpp-python). Models come in through ``store``, which lets
nothing in that ``gguf`` and ``card`` can't vouch for. ``plan`` decides context and slots.
"""
