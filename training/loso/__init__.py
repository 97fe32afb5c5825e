"""Leave one subject out: train on all people but one, test on that one, for every one."""
