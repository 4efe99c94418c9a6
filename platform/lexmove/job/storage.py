"""`storage`: a folder, or a place in an object store by its URI."""

import re

STORAGE_SCHEMES = ("s3", "gs", "abfs", "abfss", "file")
"""What a storage's URI may begin with: file systems of pyarrow."""


def is_remote(storage: str) -> bool:
    """Whether a job's `storage` is a URI and not a path."""
    return "://" in storage


def checked_storage(storage: str | None) -> str | None:
    """The same.

    Raises:
        ValueError: a URI of nothing that can be written, or one with a password.
    """
    if storage is None:
        return None
    if re.match(rf"(?:{'|'.join(STORAGE_SCHEMES)}):(?!//)", storage):
        raise ValueError(f"{storage.partition(':')[0]}: wants two slashes: s3://BUCKET/PREFIX")
    if not is_remote(storage):
        return storage
    scheme, _, rest = storage.partition("://")
    if scheme not in STORAGE_SCHEMES or not rest:
        raise ValueError(
            f"{scheme}://{rest and '...'} names no place that lexmove can write: give a folder "
            "that all nodes mount, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX"
        )
    if re.match(r"[^/?]*:[^/?]*@", rest):
        raise ValueError(
            "it holds a password, and a job is recorded: leave it out, and set AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY on every node"
        )
    return storage
