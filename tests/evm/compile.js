// Compiles Checkpoints.sol into the artifact that ledger_anchor carries.
//
// `node compile.js` prints the artifact (the test compares it with the committed file, byte for
// byte); `node compile.js --write` replaces the committed file. The settings leave out the
// metadata hash, so that the bytecode depends on the source and the compiler's version alone.

import { readFileSync, writeFileSync } from "node:fs";
import solc from "solc";

const folder = new URL("../../ledger_anchor/external/", import.meta.url);
const name = "Checkpoints";
const settings = {
  // No opcode younger than the Merge: permissioned chains lag behind the public ones.
  evmVersion: "paris",
  metadata: { appendCBOR: false, bytecodeHash: "none" },
  optimizer: { enabled: true, runs: 200 },
  outputSelection: {
    "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] },
  },
};

const content = readFileSync(new URL(`${name}.sol`, folder), "utf8");
const input = { language: "Solidity", sources: { [`${name}.sol`]: { content } }, settings };
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const messages = output.errors ?? [];
if (messages.length > 0) {
  throw new Error(messages.map((message) => message.formattedMessage).join("\n"));
}
const { abi, evm } = output.contracts[`${name}.sol`][name];
const artifact = {
  contract: name,
  compiler: solc.version(),
  settings,
  abi,
  bytecode: evm.bytecode.object,
  deployedBytecode: evm.deployedBytecode.object,
};
const text = JSON.stringify(artifact, null, 2) + "\n";
if (process.argv.includes("--write")) {
  writeFileSync(new URL(`${name}.json`, folder), text);
} else {
  process.stdout.write(text);
}
