"""Parties that answer chats over a connection."""
