"""The fine-tune set in the formats that trainers read, a module per format; `formats` lists them.

Samples and their pictures come from `reading`; `release` and `cli` call `exporting`.
"""
