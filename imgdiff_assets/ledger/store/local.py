"""Files of this machine: replaced by one rename, flushed before and after, locked by the kernel."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path, PurePath

import pyarrow as pa

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.ledger.files import append_lines, atomic_file, drop_lines, remove_leftovers
from imgdiff_assets.ledger.store.entry import ANY, Entry, Expected, Replaced
from resources.loading.file_lock import held


class LocalStore:
    """See `imgdiff_assets.ledger.store.store.Store`."""

    def open(self, address: PurePath) -> pa.NativeFile:
        try:
            return pa.OSFile(str(address))
        except OSError as error:
            if error.errno is None and Path(address).is_dir():
                # Arrow's own error has neither number nor file, by which the system's are known.
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(address)) from None
            raise

    def version(self, address: PurePath) -> str | None:
        try:
            return _entry(Path(address)).version
        except OSError:
            return None

    def find(self, folder: PurePath, pattern: str) -> list[Entry]:
        return _entries(Path(folder).glob(pattern))

    def versions(self, folder: PurePath, name: str) -> dict[str, str]:
        # Asked of thousands of tables every second while somebody looks at pages: names and numbers alone.
        found = {}
        with suppress(FileNotFoundError), os.scandir(folder) as folders:
            for each in folders:
                with suppress(FileNotFoundError, NotADirectoryError):
                    found[each.name] = _version(os.stat(f"{each.path}/{name}"))
        return found

    def below(self, folder: PurePath) -> list[Entry]:
        return _entries(path for path in Path(folder).rglob("*") if path.is_file())

    def looking(self, folder: PurePath, without: str) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def writing(self, address: PurePath, expected: Expected = ANY, shared: bool = False) -> Iterator[Path]:
        with atomic_file(Path(address), shared=shared) as temporary:
            yield temporary
            # Whoever writes what others write too holds a lock, which the kernel lets nobody else have meanwhile.
            if expected is not ANY and self.version(address) != expected:
                raise Replaced(address)

    def append(self, address: PurePath, lines: Sequence[str]) -> None:
        Path(address).parent.mkdir(parents=True, exist_ok=True)
        append_lines(Path(address), lines)

    def drop_lines(self, address: PurePath, goes: Callable[[bytes], bool]) -> None:
        drop_lines(Path(address), goes)

    def pieces(self, address: PurePath) -> list[Entry]:
        try:
            return [_entry(Path(address))]
        except FileNotFoundError:
            return []

    def copy(self, address: PurePath, to: PurePath) -> None:
        Path(to).touch(exist_ok=False)
        shutil.copyfile(address, to)

    def move(self, address: PurePath, to: PurePath) -> None:
        # Taken before the rename, which would overwrite: only the file system knows which names are free.
        Path(to).touch(exist_ok=False)
        os.replace(address, to)

    def rename(self, address: PurePath, to: PurePath) -> None:
        Path(to).parent.mkdir(parents=True, exist_ok=True)
        os.rename(address, to)

    def delete(self, address: PurePath) -> None:
        path = Path(address)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def tidy(self, folder: PurePath) -> None:
        remove_leftovers(Path(folder))

    @contextmanager
    def held(
        self, address: PurePath, what: str, holder: str, on_wait: Say | None = None
    ) -> Iterator[Callable[[], None]]:
        with held(Path(address), what, holder, on_wait):
            yield lambda: None


def _entries(paths: Iterable[Path]) -> list[Entry]:
    found = []
    for path in sorted(paths):
        with suppress(FileNotFoundError):  # removed just now
            found.append(_entry(path))
    return found


def _entry(path: Path) -> Entry:
    state = os.stat(path)
    return Entry(path, _version(state), state.st_size, state.st_mtime)


def _version(state: os.stat_result) -> str:
    return f"{state.st_ino}-{state.st_mtime_ns}-{state.st_size}"
