"""Updates of the node: look, fetch, verify, write into the other slot, prove, or go back."""
