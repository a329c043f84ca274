"""Puts Goni from the stick it runs on onto an internal disk, and looks after that disk's keys."""
