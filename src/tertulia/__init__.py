"""Tertulia: chat completion over models of your own and every provider you have a key for, at one address."""

__version__ = "0.1.0"
