"""Reader of Hyperledger Fabric channel exports."""
