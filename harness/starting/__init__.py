"""`gradrace init`: the files with which a repository begins, made of templates/.

`files` writes them, or says what is in the way."""
