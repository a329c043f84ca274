"""The front door: people and their keys, the OpenAI API, the web page.

A request comes in over TLS (``edge``), is somebody's (``callers``), and is answered from that
person's documents and this node's engine (``answer``). Refuses whoever isn't known; never writes a
question, an answer or a document's text anywhere but into the person's own kept chats.
"""
