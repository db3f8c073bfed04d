"""Events, filters, keys, blobs, envelopes, supersession, encodings.

Pure: no I/O, no clock, no randomness of its own. Imports nothing else of Volok.
"""
