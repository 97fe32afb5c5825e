"""Pictures by which a person can check an event: what was seen at onset and apex, what moved where, and when."""
