/** Names: equal where, and only where, the bytes of K and V are equal and may be shared; they never change between versions. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { IDENTITY, TIER_KEY } from "../../test/tier/tier-identity.js";
import type { TierIdentity } from "../protocol/tier-messages.js";
import { TierNamespace } from "./names.js";

const tokens = Int32Array.from({ length: 50 }, (_, i) => i * 7);

const PINNED = [
  "lr1:rVa4TSWpMa:65r_on4p0vOgRHmKnChDMn_46aKccenSNT5CKImYGqE:0",
  "lr1:rVa4TSWpMa:NuKGvDJQl7UE-GfP2P3KBUKcUgWcessT6kaeptX1fxQ:0",
  "lr1:rVa4TSWpMa:KfZIjsAjJ4UGm3V28IX5MMvjNhZk6A_cWfQ0h15UruM:0",
];

function names(key: Uint8Array, identity: TierIdentity, salt: string, prefix: Int32Array): string[] {
  const namespace = new TierNamespace(key, identity);
  return namespace.blocksOf(salt, prefix).map((block) => namespace.nameOf(block, 0));
}

test("are what they were: another name for the same block would make every store useless", () => {
  expect(names(TIER_KEY, IDENTITY, "alice", tokens)).toEqual(PINNED);
});

test("each full block has one, in order; what fills none has none", () => {
  for (const [length, blocks] of [
    [0, 0],
    [15, 0],
    [16, 1],
    [47, 2],
    [48, 3],
  ]) {
    const found = new TierNamespace(TIER_KEY, IDENTITY).blocksOf("", tokens.subarray(0, length));
    expect(found.map(({ index }) => index)).toEqual([...Array(blocks).keys()]);
    for (const [i, { parent }] of found.entries()) if (i > 0) expect(parent).toBe(found[i - 1].id);
  }
});

test("the tokens may be handed over to another thread while blocks are in use", () => {
  const given = tokens.slice();
  const blocks = new TierNamespace(TIER_KEY, IDENTITY).blocksOf("", given);
  structuredClone(given, { transfer: [given.buffer] });
  expect(blocks[2].tokens.readInt32LE(0)).toBe(tokens[32]);
});

test("say nothing but to holders of the key: letters of base64url, and a length that does not depend on the prompt", () => {
  for (const name of names(TIER_KEY, IDENTITY, "a tenant", tokens))
    expect(name).toMatch(/^lr1:[\w-]{10}:[\w-]{43}:0$/);
});

test("groups of a block have names of their own", () => {
  const namespace = new TierNamespace(TIER_KEY, IDENTITY);
  const [block] = namespace.blocksOf("", tokens);
  expect(new Set([0, 1, 2, 10].map((group) => namespace.nameOf(block, group))).size).toBe(4);
});

describe("all that can change a byte, or that must not be shared, changes every name", () => {
  const before = names(TIER_KEY, IDENTITY, "alice", tokens);
  const identities: Record<string, Partial<TierIdentity>> = {
    fingerprint: { fingerprint: "sha256:5d0d" },
    dtypes: { dtypes: ["f32"] },
    "dtypes, joined": { dtypes: ['f32","int8' as "f32"] },
    kvDtype: { kvDtype: "int8" },
    rotaryTable: { rotaryTable: "long" },
    numerics: { numerics: "2" },
    blockBytes: { blockBytes: 201 },
    probe: { probe: "00fe" },
    "window of a group": {
      groups: [
        { window: null, layers: [1] },
        { window: 65, layers: [0, 2] },
      ],
    },
    "layers of a group": {
      groups: [
        { window: null, layers: [1, 0] },
        { window: 64, layers: [2] },
      ],
    },
  };
  test.each(Object.entries(identities))("%s", (_, change) => {
    const after = names(TIER_KEY, { ...IDENTITY, ...change }, "alice", tokens);
    for (const name of after) expect(before).not.toContain(name);
  });

  test.each([
    ["another key", Uint8Array.from(TIER_KEY).fill(9, 31), "alice"],
    ["a longer key that begins alike", Uint8Array.from([...TIER_KEY, 0]), "alice"],
    ["another tenant", TIER_KEY, "bob"],
    ["no salt", TIER_KEY, ""],
  ])("%s", (_, key, salt) => {
    for (const name of names(key, IDENTITY, salt, tokens)) expect(before).not.toContain(name);
  });

  test("salts that UTF-8 would make equal", () => {
    const salts = ["\ud800", "\ud801", "\udfff", "\ufffd"];
    const found = salts.flatMap((salt) => names(TIER_KEY, IDENTITY, salt, tokens));
    expect(new Set(found).size).toBe(salts.length * 3);
  });

  test("a token anywhere: its block's and all behind it, and none before", () => {
    fc.assert(
      fc.property(fc.nat(47), fc.integer({ min: 1, max: 2 ** 31 - 1 }), (position, by) => {
        const changed = tokens.slice();
        changed[position] ^= by;
        const after = names(TIER_KEY, IDENTITY, "alice", changed);
        const first = Math.floor(position / 16);
        for (const [i, name] of after.entries()) expect(name === before[i]).toBe(i < first);
      }),
      { numRuns: 40 },
    );
  });
});
