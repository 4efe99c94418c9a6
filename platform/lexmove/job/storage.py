"""`storage`: a folder, or a place in an object store by its URI."""

import re

STORAGE_SCHEMES = ("s3", "gs", "abfs", "abfss", "file")
"""What a storage's URI may begin with: file systems of pyarrow."""

_OPTIONS = (
    "region",
    "endpoint_override",
    "scheme",
    "allow_bucket_creation",
    "allow_bucket_deletion",
    "allow_delayed_open",
    "project_id",
    "retry_limit_seconds",
    "blob_storage_authority",
    "blob_storage_scheme",
    "dfs_storage_authority",
    "dfs_storage_scheme",
    "enable_tls",
    "tls_ca_file_path",
)
"""What pyarrow's file systems are told in a URI, without all that says who somebody is."""


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
    place, _, options = rest.partition("?")
    # Half of all secret keys hold a slash, so that they may seem to end in the path.
    if ":" in place.rpartition("@")[0]:
        raise ValueError(
            "it holds a password, and a job is recorded: leave it out, and set AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY on every node"
        )
    for option in filter(None, options.split("&")):
        if (name := option.partition("=")[0]) not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise ValueError(
                f"its option {name!r} may be a secret, and a job is recorded: leave it out, and "
                f"set it in the environment of every node (options that may stand here: {known})"
            )
    return storage
