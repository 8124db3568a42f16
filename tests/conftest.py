"""What all tests share: property tests draw the same examples every time, and never fail for being slow."""

import hypothesis

hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile("steady")
