"""Trained samplers in repositories of the Hugging Face hub: fetch one, push one.

A repository holds sampler.safetensors, whose metadata is all that `samplenet.pretrained.card`
returns, and README.md, which tells people the same. Only the first is ever read.
"""

import contextlib
from pathlib import Path

import numpy as np

from samplenet import __version__
from samplenet.errors import InputError, needs_extra
from samplenet.runs.checkpoint import pack

PREFIX = "hf:"
FILE = "sampler.safetensors"
LARGEST = 1 << 27  # bytes of a file that is fetched; those of the library have 1 MB
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def fetch(address: str) -> Path:
    """Return the file of hf:owner/name or hf:owner/name@revision, from the hub or its cache.

    The hub is asked whether the revision (default: the latest) has changed. Where it cannot be
    reached, or HF_HUB_OFFLINE=1 is set, the file fetched last serves.

    Raises:
        InputError: a wrong address, or what `_told` lists.
    """
    repo, at, revision = address.removeprefix(PREFIX).partition("@")
    check(repo)
    if at and not revision:
        raise InputError(f"{address} ends without a revision: a branch, a tag or a commit")
    with _told(repo, revision) as hub:
        options = {"revision": revision or None, "library_name": "samplenet"}
        options["library_version"] = __version__
        size = hub.hf_hub_download(repo, FILE, dry_run=True, **options).file_size
        if size is None or size > LARGEST:
            raise InputError(f"{FILE} of {repo} has {size} bytes; at most {LARGEST} are fetched")
        return Path(hub.hf_hub_download(repo, FILE, **options))


def push(
    repo: str, arrays: dict[str, np.ndarray], record: dict, page: str, private: bool = False
) -> str:
    """Write a sampler and its README.md to owner/name on the hub; return the page's address.

    The files are sent from memory. A repository that is there keeps what it held as history.

    Args:
        record: what `samplenet.pretrained.card` is to return.
        page: Markdown, see `samplenet.pretrained.page`.
        private: only you can see it; False: as your account has it for new ones.

    Raises:
        InputError: the repository is public although `private` is asked for, holds something else,
            or what `_told` lists.
    """
    with _told(repo) as hub:
        api = hub.HfApi(token=True, library_name="samplenet", library_version=__version__)
        address = api.create_repo(repo, private=private or None, exist_ok=True)
        found = api.model_info(repo)
        held = {file.rfilename for file in found.siblings}
        if private and not found.private:
            raise InputError(f"{address} is public; make it private there, or choose a new name")
        if "README.md" in held and FILE not in held:
            raise InputError(f"{address} holds something else; choose a new name")
        files = {FILE: pack(arrays, record), "README.md": page.encode()}
        operations = [hub.CommitOperationAdd(*file) for file in files.items()]
        api.create_commit(repo, operations, commit_message="Add the sampler and its page")
        return str(address)


def check(repo: str) -> None:
    """Raise InputError unless `repo` has the form owner/name."""
    if repo.count("/") != 1:
        raise InputError(f"a repository of the hub is called owner/name, got {repo!r}")


@contextlib.contextmanager
def _told(repo: str, revision: str = ""):
    """Yield the package huggingface_hub; turn what it raises inside into an InputError.

    That is: the package is not installed, the repository or its revision is missing, is private or
    needs a permission, holds no sampler, nobody is logged in, or the hub cannot be reached.
    """
    with needs_extra("hub"):
        import huggingface_hub
        from huggingface_hub import constants, errors
    hub = constants.ENDPOINT
    try:
        yield huggingface_hub
    except InputError:
        raise
    except errors.GatedRepoError as error:
        raise InputError(
            f"{hub}/{repo} asks for a permission; get it there, then {LOG_IN}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(f"there is no {hub}/{repo}, or it is private: {LOG_IN}") from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{hub}/{repo} has no revision {revision!r}") from error
    except errors.LocalEntryNotFoundError as error:
        reason = f"{repo} is not in the cache" + (f" at {revision!r}" if revision else "")
        raise InputError(f"{reason}, and {hub} does not answer") from error
    except errors.EntryNotFoundError as error:
        raise InputError(f"{hub}/{repo} is no SampleNet's: it has no {FILE}") from error
    except errors.LocalTokenNotFoundError as error:
        raise InputError(f"to push to {hub} you have to be known there: {LOG_IN}") from error
    except errors.HfHubHTTPError as error:
        said = error.server_message or f"status {error.response.status_code}"
        advice = f"; {LOG_IN}" if error.response.status_code in (401, 403) else ""
        raise InputError(f"{hub} refuses {repo}: {said}{advice}") from error
    except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        raise InputError(f"{hub} does not answer: {error}") from error
    except ValueError as error:  # a name that none can have, or a header that the hub refuses
        raise InputError(f"{repo}: {' '.join(str(error).split())}") from error
