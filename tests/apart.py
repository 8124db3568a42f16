"""Processes beside a test's own, in which ends by SIGKILL, limits and locks are those of one alone.

A server forks them that runs no threads. Forks of the test's process would share locks that its threads hold, such as
those of Arrow and of torch, and what else the tests before left in it.
"""

import multiprocessing

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pytest", "hypothesis", "imgdiff_assets.engine.materialize"])
