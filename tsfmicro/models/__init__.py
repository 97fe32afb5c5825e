"""The networks. Importing this package does not import torch; import ``tsfmicro.models.network`` and its neighbours."""
