"""The websocket relay with Blossom beside it; the pocket relay and the public one are the same code."""
