"""The home's model register and the signature of its cards."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from orchestration.domains import Domain
from orchestration.files import read_json, sha256_of_file, write_json
from orchestration.home import Home

CARD = "card.public.json"


def sign_card(home: Home) -> Callable[[bytes], str]:
    """Return a function that signs a card's canonical JSON with the home's card key.

    The key is made at first use and never leaves the vault; its public half lies beside the
    models, so that anyone can check a card.
    """
    path = home.vault / "card.key"
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key.private_bytes_raw())
    key = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    (home.models / "card.pub").write_text(f"ed25519 {public}\n")
    return lambda message: base64.b64encode(key.sign(message)).decode()


def register(home: Home, domain: Domain, trained: Any, upstream: Sequence[str]) -> dict[str, Any]:
    """Add a trained model to ``models/index.json``; a newer one retires nothing by itself.

    Every model starts as ``candidate``: people, not this function, promote it.

    Returns:
        The outcome that later steps and the summary read.
    """
    folder = home.models / trained.model_id / trained.version
    entry = {
        "model_id": trained.model_id,
        "domain": domain.name,
        "version": trained.version,
        "status": "candidate",
        "path": str(folder.relative_to(home.models)),
        "card_sha256": sha256_of_file(folder / CARD),
        "model_sha256": trained.model_sha256,
    }
    index = read_json(home.models / "index.json", [])
    others = [row for row in index if (row["model_id"], row["version"]) != _identity(entry)]
    write_json(home.models / "index.json", [*others, entry])
    return {
        **{key: entry[key] for key in ("model_id", "version", "model_sha256", "card_sha256")},
        "gates": dict(trained.gates),
        "metrics": dict(trained.metrics),
        "upstream": list(upstream),
    }


def _identity(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["model_id"], entry["version"]
