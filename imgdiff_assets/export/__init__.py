"""The fine-tune set in the formats that trainers read: `format` says what one is, `formats` lists them, a file each.

Samples and their pictures come from `reading`; `release` and `cli` call `exporting`. Installed packages add formats.
"""
