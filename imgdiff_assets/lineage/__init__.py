"""Where a row came from, and whether it comes out again: lineage, replay, and two ledgers compared.

`replay` loads models through `engine`; the rest only reads. Modules that end in `_text` put their neighbour in words.
"""
