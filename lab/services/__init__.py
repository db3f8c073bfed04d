"""The servers of the lab: real software, started on the lab's hosts."""
