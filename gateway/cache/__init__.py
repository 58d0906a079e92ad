"""The response cache: where answers are kept, under what, and how requests for the same wait for one."""
