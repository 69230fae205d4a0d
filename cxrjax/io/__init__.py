"""Files that others wrote: how they are found and read. No reason for which one is refused quotes anything of it."""
