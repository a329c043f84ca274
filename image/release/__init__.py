"""Releases: a built image becomes a signed repository of plain files (docs/release.md)."""
