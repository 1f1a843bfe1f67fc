"""All core actors in one `trio.run`, in virtual time, under faults drawn from a seed."""
