"""What models there are (the catalog) and which of them are here (the store)."""
