"""One module per kind of file, each with ``read(document, out)``; runs in the sandbox only."""
