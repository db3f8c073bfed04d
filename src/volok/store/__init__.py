"""The Store and its embedded backend, blobs as files, and the encrypted Vault."""
