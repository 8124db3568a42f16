from tests.resources.conftest import single_thread

__all__ = ["single_thread"]
