"""Who takes part in a simulated channel: organisations, peers, ordering nodes, clients.

What belongs here: the cast, derived from the seed, and who endorses a transaction. How a member's
key and certificate come about is in ``identities``.
"""

from __future__ import annotations

from datetime import datetime

from orchestration.feeds.simulate.fabric.identities import Authority, Identity, Seed

ENDORSEMENT_POLICY_FAILURE = 10

_DOMAIN = "tracient.example"
_ORGANISATIONS = ("LabourMSP", "EmployersMSP", "BanksMSP")
_CLIENT_ORGANISATION = "EmployersMSP"
_ADMINISTRATING_ORGANISATION = "LabourMSP"
_PEERS_PER_ORGANISATION = 2
_ORDERERS = 3


class Members:
    """The organisations, peers, ordering nodes and clients of a channel.

    Attributes:
        seed: What every key and certificate is derived from.
        organisations: The channel's member organisations.
        orderer_organisation: The organisation that orders.
        orderers: Its nodes.
    """

    def __init__(self, seed: Seed, founded_at: datetime) -> None:
        self.seed = seed
        self._authorities = {
            msp_id: Authority(seed, msp_id, f"{_short(msp_id)}.{_DOMAIN}", founded_at)
            for msp_id in _ORGANISATIONS
        }
        self.organisations = list(self._authorities.values())
        self.orderer_organisation = Authority(seed, "OrdererMSP", f"orderer.{_DOMAIN}", founded_at)
        self.orderers = [
            self.orderer_organisation.issue(f"orderer{n}", "orderer") for n in range(_ORDERERS)
        ]
        self._peers = {
            msp_id: [authority.issue(f"peer{n}", "peer") for n in range(_PEERS_PER_ORGANISATION)]
            for msp_id, authority in self._authorities.items()
        }
        self._clients: dict[int, Identity] = {}

    @property
    def orderer_addresses(self) -> list[str]:
        """``host:port`` of each ordering node."""
        return [f"orderer{n}.orderer.{_DOMAIN}:7050" for n in range(_ORDERERS)]

    def administrator(self) -> Identity:
        """Return the identity that defines chaincodes."""
        return self._authorities[_ADMINISTRATING_ORGANISATION].issue("administrator", "admin")

    def first_peers(self) -> list[Identity]:
        """Return one peer of each organisation."""
        return [self._peers[msp_id][0] for msp_id in _ORGANISATIONS]

    def client(self, index: int) -> Identity:
        """Return an employers' client by its index, issued at its first use."""
        if index not in self._clients:
            authority = self._authorities[_CLIENT_ORGANISATION]
            self._clients[index] = authority.issue(f"employer{index:06d}", "client")
        return self._clients[index]

    def endorsers(self, nonce: bytes, validation_code: int) -> list[Identity]:
        """Return peers of two organisations; of one only where the policy is to fail."""
        first = nonce[0] % len(_ORGANISATIONS)
        if validation_code == ENDORSEMENT_POLICY_FAILURE:
            return list(self._peers[_ORGANISATIONS[first]])
        second = (first + 1 + nonce[1] % (len(_ORGANISATIONS) - 1)) % len(_ORGANISATIONS)
        return [
            self._peers[_ORGANISATIONS[index]][nonce[2 + turn] % _PEERS_PER_ORGANISATION]
            for turn, index in enumerate((first, second))
        ]


def _short(msp_id: str) -> str:
    return msp_id.removesuffix("MSP").lower()
