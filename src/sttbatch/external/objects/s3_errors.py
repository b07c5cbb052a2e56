"""What boto3's errors mean: what happened, to which object, what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from sttbatch.core.errors import ObjectRefused, ObjectsUnreachable

_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_ADVICE = {
    "NoSuchBucket": "there is no such bucket; check its name, and s3_endpoint",
    "NoSuchKey": "there is no such object; check its name",
    "InvalidAccessKeyId": f"the store does not know the key; {_KEYS}, and s3_endpoint",
    "SignatureDoesNotMatch": f"the secret does not belong to the key; {_KEYS}",
    "AccessDenied": "the key may not do that; ask the bucket's owner for access",
    "ExpiredToken": "the session's token has expired; sign in again",
    "InvalidToken": "the session's token is not valid; sign in again, or unset AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock differs from the store's; synchronise it",
    "KeyTooLongError": "the name is too long for the store; name another prefix with --output-dir",
    "InvalidBucketName": "that is not a valid name of a bucket; check the path",
    "PermanentRedirect": "the bucket is in another region; set AWS_DEFAULT_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_DEFAULT_REGION",
    "403": "the key is refused, or may not do that; ask the bucket's owner for access",
    "404": "there is no such bucket or object",
}


def code_of(error: ClientError) -> str:
    """The store's name of an error, or its HTTP status."""
    return str(error.response.get("Error", {}).get("Code") or status_of(error))


def status_of(answer: Any) -> int:
    """The HTTP status of an answer, or of an error; 0: it has none."""
    facts = answer.response if isinstance(answer, ClientError) else answer
    return int(facts.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextlib.contextmanager
def explained(what: str, endpoint: str | None, *, writes: bool = False) -> Iterator[None]:
    """Raise boto3's errors as errors of object storage.

    Only the names of errors are passed on: what comes with them may contain keys and signatures.
    """
    place = f"{what}: " if what else ""
    where = f"the object storage at {endpoint or 'the default endpoint'}"
    cannot = f"{place}it cannot be {'written' if writes else 'read'}"
    try:
        yield
    except ClientError as error:
        code, status = code_of(error), status_of(error)
        if status >= 500 or code in {"SlowDown", "RequestTimeout"}:
            raise ObjectsUnreachable(
                f"{cannot}: {where} answers {code} ({status}); run again later"
            ) from None
        advice = _ADVICE.get(code, "see the store's documentation of this error")
        raise ObjectRefused(f"{cannot}: {where} answers {code} ({status}): {advice}") from None
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError):
        raise ObjectRefused(f"{cannot}: no key for {where} was found; {_KEYS}") from None
    except ProfileNotFound:
        raise ObjectRefused(f"{cannot}: AWS_PROFILE names a profile that does not exist") from None
    except ParamValidationError:
        raise ObjectRefused(
            f"{cannot}: that is not a valid name of a bucket or an object; check the path"
        ) from None
    except (BotoConnectionError, HTTPClientError) as error:
        kind = type(error).__name__
        raise ObjectsUnreachable(
            f"{cannot}: {where} does not answer ({kind}); check s3_endpoint and the network"
        ) from None
    except (BotoCoreError, ValueError) as error:
        kind = type(error).__name__
        raise ObjectRefused(
            f"{cannot}: the settings of {where} are not valid ({kind}); check s3_endpoint and "
            "the files of AWS_PROFILE"
        ) from None
