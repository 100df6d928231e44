// Verify a bundle by key with the verifier that npm itself uses: node verify.cjs BUNDLE KEY
const { createPublicKey } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { bundleFromJSON } = require("@sigstore/bundle");
const { Verifier, toSignedEntity } = require("@sigstore/verify");

const [bundle, key] = process.argv.slice(2).map((path) => readFileSync(path, "utf8"));
const publicKey = createPublicKey(key);
const trust = {
  // Asked with the bundle's hint. Whatever it says, the one key trusted here is the one given.
  publicKey: () => ({ publicKey, validFor: () => true }),
  certificateAuthorities: [],
  timestampAuthorities: [],
  tlogs: [],
  ctlogs: [],
};
// A key-signed result stands in no public log, so none is asked for.
const thresholds = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };

try {
  new Verifier(trust, thresholds).verify(toSignedEntity(bundleFromJSON(JSON.parse(bundle))));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
console.log("verified");
