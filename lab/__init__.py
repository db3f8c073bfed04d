"""The laboratory: hosts in network namespaces, a border that censors, and what gets through."""
