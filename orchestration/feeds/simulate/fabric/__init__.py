"""The parts of a simulated Fabric channel: identities, its configuration, its transactions."""
