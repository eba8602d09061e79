"""Measurements of Tertulia: ``python -m bench --help``."""
