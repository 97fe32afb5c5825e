"""What this machine and this installation are good for, found out before a run does; the ``tsf-doctor`` command."""
