"""Other processes that measure the batches of a shard: on this machine, or Ray's, on any.

They read images and run models; the driver, which is the run's own process, hands them batches, and alone writes what
comes back. None knows of stages more than the order says.
"""
