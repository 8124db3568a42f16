"""Addresses of files: a path of this machine, or a place in a bucket."""

from pathlib import Path, PurePath, PurePosixPath

SCHEMES = ("s3", "gs", "az")


class ObjectAddress(PurePosixPath):
    """Such as `s3://bucket/prefix/name`: with all that a path has, but that it must be read and written by a store."""

    def __str__(self) -> str:
        text = super().__str__()
        scheme, slash, rest = text.partition(":/")
        return f"{scheme}://{rest}" if slash and scheme in SCHEMES else text

    @property
    def bucket(self) -> str:
        """Scheme and name, such as `s3://bucket`."""
        return "//".join(self.parts[:2])

    @property
    def key(self) -> str:
        """Its name in the bucket."""
        return "/".join(self.parts[2:])


def address(text: str) -> PurePath:
    """A place in a bucket if the text begins so, else a path."""
    scheme, mark, _ = text.partition("://")
    return ObjectAddress(text) if mark and scheme in SCHEMES else Path(text)
