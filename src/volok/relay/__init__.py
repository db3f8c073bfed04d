"""The websocket relay with Blossom beside it. The pocket relay and the public one are one code."""
