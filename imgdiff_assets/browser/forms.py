"""What a form of a page says."""

from urllib.parse import parse_qsl

from imgdiff_assets.browser.question import BadQuestion

MOST_FIELDS = 600


class Form:
    """The fields of a form, each with all its values. Raises BadQuestion for what is no form."""

    def __init__(self, body: bytes) -> None:
        try:
            pairs = parse_qsl(
                body.decode("utf-8"), strict_parsing=True, keep_blank_values=True, max_num_fields=MOST_FIELDS
            )
        except ValueError:
            raise BadQuestion("this is not a form of this site") from None
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def one(self, name: str) -> str:
        """The first value, without spaces around it; empty if there is none."""
        return self._values.get(name, [""])[0].strip()

    def all(self, name: str) -> list[str]:
        """The values that say something, each once."""
        return [value for value in dict.fromkeys(self._values.get(name, ())) if value]

    def under(self, prefix: str) -> dict[str, str]:
        """The fields whose names begin so, by the rest of the name."""
        return {name.removeprefix(prefix): self.one(name) for name in self._values if name.startswith(prefix)}

    def has(self, name: str) -> bool:
        return name in self._values

    def back(self, otherwise: str) -> str:
        """The page of this site that the form was on."""
        address = self.one("back")
        inside = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
        return address if inside else otherwise
