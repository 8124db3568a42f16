"""Objects of a bucket, through obstore: each written by one conditional PUT, and read by ranges of one version.

A request whose answer is lost may have been done. So it is asked again, and where a condition then fails, what is
there is compared with what was to be written: if it is that, the first request did it.
"""

import datetime
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from imgdiff_assets.common.addresses import ObjectAddress
from imgdiff_assets.common.aliases import Say
from imgdiff_assets.ledger.files import explained
from imgdiff_assets.ledger.store.entry import ANY, Entry, Expected, Replaced, StoreRefused, StoreUnavailable
from imgdiff_assets.ledger.store.lease import lease
from imgdiff_assets.ledger.store.listing import Listing, keep_end, kept_end
from imgdiff_assets.ledger.store.object_file import ObjectFile

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Bucket

T = TypeVar("T")
WAITS = (0.1, 0.5, 2.0, 5.0)
"""Seconds before a request is made again; obstore has made each a few times already."""

EXPIRED = ("ExpiredToken", "InvalidToken", "RequestExpired", "InvalidAccessKeyId", "SignatureDoesNotMatch")
LONGEST_REASON = 200


def open_bucket(bucket: str) -> "Bucket":
    """`s3://bucket`, with the credentials and the endpoint that the environment names as other programs want them."""
    from obstore.store import from_url

    # A request lasts as long as its object is large; plain HTTP is spoken where the endpoint says so.
    options = {"timeout": "10m", "connect_timeout": "10s", "allow_http": True}
    retries = {"max_retries": 3, "retry_timeout": datetime.timedelta(seconds=60)}
    try:
        return from_url(bucket, client_options=options, retry_config=retries)  # type: ignore[no-any-return, call-overload]
    except Exception as error:  # whatever it says, it is the settings that are at fault
        raise StoreRefused(f"{bucket}: cannot be opened ({_reason(error)}): look at the store's variables.") from error


class ObjectStore:
    """See `imgdiff_assets.ledger.store.store.Store`; `bucket` is one of obstore's stores."""

    def __init__(self, bucket: "Bucket", sleep: Callable[[float], None] = time.sleep) -> None:
        self._bucket, self._sleep = bucket, sleep
        self._conditional = False
        self._listing = Listing()

    def open(self, address: PurePath) -> pa.NativeFile:
        known = self._listing.of(address)
        entry = known.get(str(address)) if known is not None else None
        end = kept_end(entry) if entry is not None else None
        file = ObjectFile(lambda options: self._get(address, options), entry, end)
        if entry is not None and end is None and version_of(file.meta) == entry.version:
            keep_end(entry, file.end)
        return pa.PythonFile(file, mode="r")

    def read(self, address: PurePath) -> tuple[bytes, str]:
        """All of an object, and its version. Raises FileNotFoundError."""
        data, meta = self._get(address, {})
        return data, version_of(meta)

    def version(self, address: PurePath) -> str | None:
        if (known := self._listing.of(address)) is not None:
            entry = known.get(str(address))
            return entry.version if entry is not None else None
        try:
            return version_of(self._ask(address, lambda: self._bucket.head(_key(address))))
        except FileNotFoundError:
            return None

    def find(self, folder: PurePath, pattern: str) -> list[Entry]:
        wanted = pattern.split("/")
        return [entry for entry in self.below(folder) if _matches(entry.address.relative_to(folder).parts, wanted)]

    def versions(self, folder: PurePath, name: str) -> dict[str, str]:
        return {entry.address.parts[-2]: entry.version for entry in self.find(folder, f"*/{name}")}

    def looking(self, folder: PurePath, without: str) -> AbstractContextManager[None]:
        left_out = folder / without
        if self._listing.is_of(folder, left_out):
            return nullcontext()
        return self._listing.known(folder, left_out, self._listed(folder, left_out))

    def below(self, folder: PurePath) -> list[Entry]:
        if self._listing.of(folder) is not None:
            return self._listing.below(folder)
        return self._listed(folder)

    def _listed(self, folder: PurePath, without: PurePath | None = None) -> list[Entry]:
        """All objects below a folder; names come in order, so that those below another are passed over at once."""
        bucket = ObjectAddress(*folder.parts[:2])

        def names() -> list[Any]:
            found: list[Any] = []
            if without is None:
                return [meta for some in self._bucket.list(prefix=_key(folder)) for meta in some]
            first, last = f"{_key(without)}/", f"{_key(without)}0"  # which follows the slash
            for some in self._bucket.list(prefix=_key(folder)):
                found += [meta for meta in some if not first <= meta["path"] < last]
                if any(first <= meta["path"] for meta in some):
                    rest = self._bucket.list(prefix=_key(folder), offset=last)
                    known = {meta["path"] for meta in found}
                    found += [meta for more in rest for meta in more if meta["path"] not in known]
                    break
            return found

        found = self._ask(folder, names, "listed")
        entries = [
            Entry(bucket / meta["path"], version_of(meta), meta["size"], meta["last_modified"].timestamp())
            for meta in found
        ]
        return sorted(entries, key=lambda entry: entry.address)

    @contextmanager
    def writing(self, address: PurePath, expected: Expected = ANY, shared: bool = False) -> Iterator[Path]:
        with explained(address), tempfile.TemporaryDirectory(prefix="imgdiff-") as folder:
            file = Path(folder, "object")
            yield file
            self.put(address, file.read_bytes(), expected)

    def put(self, address: PurePath, data: bytes, expected: Expected = ANY) -> str:
        """Write an object if only `expected` is there; returns its version. Raises Replaced."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            done = self._ask(
                address,
                lambda: self._bucket.put(_key(address), data, mode=_mode(expected), use_multipart=False),
                "written",
            )
        except (AlreadyExistsError, PreconditionError):
            there, version = self._read_if_there(address)
            if there != data:
                raise Replaced(address) from None
            return version
        return version_of(done)

    def append(self, address: PurePath, lines: Sequence[str]) -> None:
        moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        name = f"{moment}-{secrets.token_hex(6)}.jsonl"
        self.put(address / name, "".join(line + "\n" for line in lines).encode(), None)

    def drop_lines(self, address: PurePath, goes: Callable[[bytes], bool]) -> None:
        for piece in self.pieces(address):  # each is written once, and no more after that
            lines = self.read(piece.address)[0].splitlines(keepends=True)
            staying = [line for line in lines if not goes(line)]
            if not staying:
                self.delete(piece.address)
            elif len(staying) < len(lines):
                self.put(piece.address, b"".join(staying), piece.version)

    def pieces(self, address: PurePath) -> list[Entry]:
        return self.find(address, "*.jsonl")

    def copy(self, address: PurePath, to: PurePath) -> None:
        data, _ = self.read(address)
        try:
            self.put(to, data, None)
        except Replaced as error:
            raise FileExistsError(str(to)) from error

    def move(self, address: PurePath, to: PurePath) -> None:
        self.copy(address, to)
        self.delete(address)

    def rename(self, address: PurePath, to: PurePath) -> None:
        below = [entry.address for entry in self.below(address)]
        for each, place in [(each, to / each.relative_to(address)) for each in below] or [(address, to)]:
            self.put(place, self.read(each)[0])
            self.delete(each)

    def delete(self, address: PurePath) -> None:
        keys = [_key(address), *(_key(entry.address) for entry in self.below(address))]
        try:
            self._ask(address, lambda: self._bucket.delete(keys), "deleted")
        except FileNotFoundError:  # Azure tells of one that is not there, and perhaps left the others
            for key in keys:
                with suppress(FileNotFoundError):
                    self._ask(address, partial(self._bucket.delete, [key]), "deleted")

    def tidy(self, folder: PurePath) -> None:
        """Nothing is ever half-written."""

    def held(
        self, address: PurePath, what: str, holder: str, on_wait: Say | None = None
    ) -> AbstractContextManager[Callable[[], None]]:
        if not self._conditional:
            self._try_conditions(address.with_name(f".probe-{secrets.token_hex(6)}"))
            self._conditional = True
        return lease(self, address.with_name(address.name + ".lease"), what, holder, on_wait, self._sleep)

    def _try_conditions(self, probe: PurePath) -> None:
        """Find out whether the bucket refuses what a condition forbids: nothing here is safe on one that does not."""
        taken = 0
        try:
            self.put(probe, b"first", None)
            for expected in (None, _OF_NOTHING):
                try:
                    self.put(probe, f"second {taken}".encode(), expected)
                    taken += 1
                except Replaced:
                    pass
        finally:
            self.delete(probe)
        if taken:
            raise StoreRefused(
                f"{ObjectAddress(*probe.parts[:2])}: the store overwrites an object that it was told not to "
                "(If-None-Match, If-Match): two runs would lose each other's tables there. Take a store with "
                "conditional writes."
            )

    def _read_if_there(self, address: PurePath) -> tuple[bytes | None, str]:
        try:
            return self.read(address)
        except FileNotFoundError:
            return None, ""

    def _get(self, address: PurePath, options: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
        """Some bytes of an object and what is known of it; short answers are asked for again."""

        from obstore.exceptions import GenericError, NotSupportedError, PreconditionError

        def get() -> tuple[bytes, Mapping[str, Any]]:
            try:
                return answer(options)
            except (GenericError, NotSupportedError) as error:
                if "suffix" not in options.get("range", ()) or "range" not in str(error).lower():
                    raise
                # Azure knows no range from the end, and S3 none of an object without bytes.
                meta = self._bucket.head(_key(address))
                first = max(meta["size"] - options["range"]["suffix"], 0)
                if not meta["size"]:
                    return b"", meta
                return answer({"range": (first, meta["size"]), "if_match": meta["e_tag"]})

        def answer(options: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
            result = self._bucket.get(_key(address), options=options)  # type: ignore[arg-type]
            start, end = result.range
            data = bytes(result.bytes())
            if len(data) != end - start:
                raise OSError(f"{len(data)} of {end - start} bytes came")
            return data, result.meta

        try:
            return self._ask(address, get)
        except PreconditionError as error:
            raise StoreUnavailable(f"{address}: was replaced while it was read; read it again.") from error

    def _ask(self, address: PurePath, request: Callable[[], T], done: str = "read") -> T:
        """Make a request, again where that may help; raises what a user is to read."""
        from obstore import exceptions

        for wait in (*WAITS, None):
            try:
                return request()
            except FileNotFoundError:
                raise FileNotFoundError(2, "no such object", str(address)) from None
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                raise
            except (exceptions.BaseError, OSError) as error:
                _refuse(address, error)
                if wait is None:
                    raise StoreUnavailable(
                        f"{address}: could not be {done} ({_reason(error)}). What is measured is kept; run again when "
                        "the store answers."
                    ) from error
                self._sleep(wait)
        raise AssertionError


_OF_NOTHING = '"00000000000000000000000000000000" '
"""A version that no object has."""


def version_of(meta: Mapping[str, Any]) -> str:
    """Of what obstore tells of an object; some stores count versions, others hash contents."""
    return f"{meta['e_tag'] or ''} {meta['version'] or ''}"


def _mode(expected: Expected) -> Any:
    if expected is ANY:
        return "overwrite"
    if expected is None:
        return "create"
    tag, _, version = str(expected).partition(" ")
    return {"e_tag": tag, **({"version": version} if version else {})}


def _key(address: PurePath) -> str:
    return "/".join(address.parts[2:])


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _refuse(address: PurePath, error: Exception) -> None:
    """Raises StoreRefused for what no second request changes."""
    from obstore import exceptions

    if isinstance(error, exceptions.NotSupportedError):
        raise StoreRefused(f"{address}: the store cannot do what is needed ({_reason(error)}).") from error
    rights = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError)
    if isinstance(error, rights) or any(word in str(error) for word in EXPIRED):
        raise StoreRefused(
            f"{address}: the store refuses ({_reason(error)}): the credentials are missing, expired, or not for this "
            "bucket. What is measured is kept; run again with others."
        ) from error


def _reason(error: Exception) -> str:
    """What an error says, in a line of bearable length."""
    text = " ".join(str(error).partition("Debug source")[0].split())
    return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + "..."
