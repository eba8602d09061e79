"""A request turned into code that makes it: for each language and client a snippet that runs. Pure."""
