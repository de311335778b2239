"""Objects that are not known yet: from a prompt, or without one."""
