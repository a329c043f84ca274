"""Documents: folders per person, what is in them as passages, and search over those.

A file goes folders -> extract -> chunk -> embed -> store; a question goes retrieve -> store. The
order of things is in ``library``; the routes are in ``service``.
"""
