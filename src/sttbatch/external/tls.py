"""Trust in certificates, the same for every service."""

from __future__ import annotations

import ssl

import httpx

from sttbatch.core.errors import UsageError


def ssl_context() -> ssl.SSLContext:
    """The certificates to trust: SSL_CERT_FILE or SSL_CERT_DIR, else those of certifi.

    It raises UsageError where they name nothing that can be read.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise UsageError(
            f"SSL_CERT_FILE or SSL_CERT_DIR names nothing that holds certificates: {error}"
        ) from error


def certificate_error(error: BaseException) -> str | None:
    """Why a certificate was not trusted, if that is what failed; retrying will not help."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the endpoint's certificate is not trusted ({cause.verify_message}). Behind a "
                "company's proxy, or with an authority of your own, set SSL_CERT_FILE to the "
                "file that holds its certificate"
            )
        cause = cause.__cause__ or cause.__context__
    return None
