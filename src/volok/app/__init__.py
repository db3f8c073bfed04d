"""The node (the only place where things are wired), the web UI and the command line."""
