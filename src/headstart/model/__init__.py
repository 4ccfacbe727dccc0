"""The model: what was learnt, what was measured, and how it answers."""
