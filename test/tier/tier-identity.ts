/** A tier's identity for tests: small blocks, two groups of layers. */
import type { TierIdentity } from "../../src/protocol/tier-messages.js";

export const TIER_KEY = Uint8Array.from({ length: 32 }, (_, i) => i);

export const IDENTITY: TierIdentity = {
  fingerprint: "sha256:5d0c",
  dtypes: ["f32", "int8"],
  kvDtype: "f32",
  rotaryTable: null,
  numerics: "1",
  blockSize: 16,
  blockBytes: 200,
  groups: [
    { window: null, layers: [1] },
    { window: 64, layers: [0, 2] },
  ],
  probe: "00ff",
};
