"""An export on the model hub: a private repository with all files but the examples.

The examples stay here: whose they are, and who may read them, lexmove does not know.
"""

import os
import re
from pathlib import Path

from lexmove.errors import HandOverError, UsageError

TOKEN, ENDPOINT = "HF_TOKEN", "HF_ENDPOINT"

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")

_LEFT_HERE = ["data/**"]

_REFUSALS = {
    401: f"it refused the token: make one that may write, and put it into {TOKEN}",
    403: f"the token in {TOKEN} may not write there: make one that may, or name another owner",
    404: "it knows no such owner: check USER in USER/NAME",
    409: "a repository of that name is there and is another kind",
    429: "it wants fewer requests: try again later",
}


def check_hub(repository: str) -> None:
    """Whether a push can be tried at all; nobody is asked.

    Raises:
        UsageError: not a repository's name, or no token.
    """
    name = repository.rpartition("/")[2]
    is_odd = "--" in repository or ".." in repository or name.endswith((".git", ".", "-"))
    if is_odd or not _REPOSITORY.fullmatch(repository):
        raise UsageError(
            f"--push-to-hub {repository}: write USER/NAME, of letters, digits, '-', '_' and '.'"
        )
    if not os.environ.get(TOKEN, "").strip():
        raise UsageError(
            f"{TOKEN} is not set: make a token that may write at https://hf.co/settings/tokens"
        )


def push_to_hub(folder: Path, repository: str, *, study: str) -> str:
    """Uploads an exported folder, but for its examples, in one commit.

    Returns:
        The address of the repository; a new one is private.

    Raises:
        UsageError: as `check_hub`.
        HandOverError: the hub does not answer, or refuses.
    """
    check_hub(repository)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    token = os.environ[TOKEN].strip()
    endpoint = os.environ.get(ENDPOINT) or "https://huggingface.co"
    api = HfApi(endpoint=endpoint, token=token)
    disable_progress_bars()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=f"lexmove: the winner of study {study}",
            ignore_patterns=_LEFT_HERE,
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        why = _REFUSALS.get(status) or f"it answered {status}"
        raise HandOverError(f"{repository} was not pushed to {endpoint}: {why}") from None
    except Exception as error:  # noqa: BLE001 - no answer, an offline mode, a name it dislikes
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        hidden = said.replace(token, "…")[:300]
        raise HandOverError(
            f"{repository} was not pushed to {endpoint}: {hidden}; check the network and {ENDPOINT}"
        ) from None
    return f"{endpoint}/{repository}"
