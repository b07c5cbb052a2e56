from __future__ import annotations

import ssl

import httpx

from sttbatch.core.errors import UsageError


def ssl_context() -> ssl.SSLContext:
    """A context with the certificates of SSL_CERT_FILE or SSL_CERT_DIR, otherwise of certifi.

    Raises UsageError if they cannot be read.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise UsageError(
            f"the certificates of SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error}"
        ) from error


def certificate_error(error: BaseException) -> str | None:
    """Why a certificate was not trusted, if that is what failed; retrying will not help."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the endpoint's certificate is not trusted ({cause.verify_message}). Behind a "
                "company's proxy, or with a private authority, set SSL_CERT_FILE to the file with "
                "its certificate"
            )
        cause = cause.__cause__ or cause.__context__
    return None
