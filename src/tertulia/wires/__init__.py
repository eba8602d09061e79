"""Dialects: bytes to words and back, pure, used by both ends of a connection."""
