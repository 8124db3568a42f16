"""What sentences and comparisons must know of a language, a file for each, which holds nothing but its `LANGUAGE`.

A file that is added here is a language that recipes can name. `imgdiff_assets.method.language` says what is in one.
"""
