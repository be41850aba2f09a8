"""What uv 0.13.9, pip 23.2 and 26.3, Python and PyTorch printed when a package could not be had, by the kind of fault.

Recorded with servers on the loopback interface, a full memory disk and files that may not be written; those of
Windows are from the documentation of its error numbers, which uv and pip print behind a text in the user's language.
"""

from __future__ import annotations

UV_FETCH = """error: Failed to fetch: https://pypi.org/simple/tinypackage/
  cause: error sending request for url (https://pypi.org/simple/tinypackage/)
  cause: client error (Connect)
"""
PIP_NONE = """ERROR: Could not find a version that satisfies the requirement tinypackage==1.0 (from versions: none)
ERROR: No matching distribution found for tinypackage==1.0
"""
PIP_RETRY = "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection "
UV_NONE = "error: No solution found when resolving dependencies\n  cause: Because tinypackage"

# kind: the texts
TEXTS = {
    "disk": (
        """error: Failed to install: bigpackage-1.0-py3-none-any.whl (bigpackage==1.0)
  cause: Failed to copy to `tiny/x/bigpackage.bin`
  cause: failed to copy file from /cache/bigpackage.bin to /tiny/x/.tmpMaej8t: No space left on device (os error 28)
""",
        """    sent = os.sendfile(outfd, infd, offset, blocksize)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
OSError: [Errno 28] No space left on device: '/tmp/lib/python/bigpackage.bin' -> '/tiny/x/bigpackage.bin'
""",
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
        "  cause: failed to write to file: Es steht nicht genug Speicherplatz zur Verfügung. (os error 112)\n",
    ),
    "antivirus": (
        r"""ERROR: Could not install packages due to an OSError: [WinError 225] Operation did not complete successfully
because the file contains a virus or potentially unwanted software: 'C:\\MedSegTrainer\\environment\\venv\\x.pyd'
""",
        "  cause: Der Vorgang konnte nicht abgeschlossen werden, da die Datei einen Virus enthält. (os error 225)\n",
    ),
    "locked": (
        r"""ERROR: Could not install packages due to an OSError: [WinError 32] The process cannot access the file
because it is being used by another process: 'C:\\MedSegTrainer\\environment\\tmp\\pip-unpack-1\\torch.whl'
Check the permissions.
""",
        """error: Failed to install: torch-2.13.0-cp312-cp312-win_amd64.whl (torch==2.13.0)
  cause: Der Prozess kann nicht auf die Datei zugreifen, da sie von einem anderen verwendet wird. (os error 32)
""",
    ),
    "not allowed": (
        """error: Failed to install: bigpackage-1.0-py3-none-any.whl (bigpackage==1.0)
  cause: failed to create directory `lk/x/bigpackage-1.0.dist-info`: Operation not permitted (os error 1)
""",
        "error: failed to create directory `tiny/ro/x`: Read-only file system (os error 30)\n",
        "PermissionError: [Errno 13] Permission denied: '/lk/x/bigpackage-1.0.dist-info'\n",
        "  cause: failed to rename file: Zugriff verweigert (os error 5)\n",
    ),
    "proxy login": (
        UV_FETCH + "  cause: tunnel error: proxy authorization required\n",
        PIP_RETRY + "broken by 'OSError('Tunnel connection failed: 407 Proxy Authentication Required')': /simple/\n"
        + PIP_NONE,
        PIP_RETRY + "broken by 'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407 Proxy "
        "Authentication Required'))': /simple/tinypackage/\n" + PIP_NONE,
    ),
    "proxy": (
        UV_FETCH + "  cause: tunnel error: unsuccessful\n",
        UV_FETCH + "  cause: tunnel error: failed to create underlying connection\n  cause: tcp connect error\n"
        "  cause: Connection refused (os error 111)\n",
        PIP_RETRY + "broken by 'OSError('Tunnel connection failed: 403 Forbidden')': /simple/tinypackage/\n" + PIP_NONE,
    ),
    "certificate": (
        UV_FETCH + "  cause: invalid peer certificate: UnknownIssuer\n",
        PIP_RETRY + "broken by 'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate "
        "verify failed: self-signed certificate (_ssl.c:1006)'))': /tinypackage/\n" + PIP_NONE,
    ),
    "refused": (
        UV_NONE + " was not found in the package registry and you require tinypackage==1.0\n\n"
        "hint: An index (http://127.0.0.1:9102/) returned a 403 Forbidden error. Check that the index URL is correct "
        "and the credentials are valid.\n",
        UV_NONE + " was not found in the package registry\n\nhint: An index URL (http://127.0.0.1:9114/) could not be "
        "queried due to a lack of valid authentication credentials (401 Unauthorized)\n",
    ),
    "server": (
        "error: Failed to fetch: http://127.0.0.1:9109/tinypackage/\n  cause: HTTP status server error (503 Service "
        "Unavailable) for url (http://127.0.0.1:9109/tinypackage/)\n",
    ),
    "network": (
        UV_FETCH + "  cause: tcp connect error\n  cause: Connection refused (os error 111)\n",
        UV_FETCH + "  cause: dns error\n  cause: failed to lookup address information: Name or service not known\n",
        PIP_RETRY + "broken by 'NewConnectionError(\"HTTPSConnection(host='pypi.org', port=443): Failed to establish a "
        "new connection: [Errno 111] Connection refused\")': /simple/tinypackage/\n" + PIP_NONE,
        PIP_RETRY + "broken by 'NameResolutionError(\"HTTPSConnection(host='pypi.org', port=443): Failed to resolve "
        "'pypi.org' ([Errno -2] Name or service not known)\")': /simple/tinypackage/\n" + PIP_NONE,
        "error: incomplete-download\n\nDownload failed after 6 attempts because not enough bytes were received "
        "(200 bytes/24 kB)\n\nnote: This is an issue with network connectivity, not pip.\n",
        "  cause: Der angegebene Host ist unbekannt. (os error 11001)\n",
    ),
    "hash": (
        "error: Failed to download `tinypackage==1.0`\n  cause: Hash mismatch for `tinypackage==1.0`\n\n"
        "         Expected:\n           sha256:aa3d432f526de233977ac0a5d7fa7e6f04c39db207a0c49a4580be255a1de24a\n",
        "  Downloading tinypackage-1.0-py3-none-any.whl (407 kB)\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM "
        "THE REQUIREMENTS FILE. If you have updated the package versions, please update the hashes.\n",
    ),
    "damaged": (
        UV_NONE + "==1.0 has an invalid package format\n\nhint: The structure of `tinypackage` (v1.0) was invalid:\n"
        "  Failed to read from zip file\n",
        "ERROR: Wheel 'tinypackage' located at /tmp/pip-unpack-498/tinypackage-1.0-py3-none-any.whl is invalid.\n",
    ),
    "memory": (
        "  cause: Cannot allocate memory (os error 12)\n",
        "    self._cache[key] = data\nMemoryError\n",
    ),
    "driver": (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
        "driver by downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx\n",
        "RuntimeError: CUDA error: CUDA driver version is insufficient for CUDA runtime version\n",
    ),
    "venv": ("The virtual environment was not created successfully because ensurepip is not available.\n",),
    "no wheel": (
        UV_NONE + "==1.0 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require "
        "tinypackage==1.0, we can conclude that your requirements are unsatisfiable.\n\nhint: You require CPython 3.11 "
        "(`cp311`), but we only found wheels for `tinypackage` (v1.0) with the following Python ABI tag: `cp36m`\n",
        "error: No solution found when resolving dependencies\n  cause: Because the current Python version (3.11.7) "
        "does not satisfy Python>=3.15 and tinypackage==1.0 depends on Python>=3.15\n",
        "ERROR: Ignored the following versions that require a different python version: 1.0 Requires-Python >=3.15\n"
        + PIP_NONE,
        "ERROR: Could not find a version that satisfies the requirement tinypackage==9 (from versions: 1.0, 2.0)\n",
    ),
    "no package": (
        PIP_NONE,
        UV_NONE + " was not found in the package registry and you require tinypackage==1.0\n",
    ),
}  # fmt: skip
