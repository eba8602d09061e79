"""The HTTP side: routes, requests, answers."""
