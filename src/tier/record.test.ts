/** Records: what was sealed is opened, to the last bit; anything else is rejected, with a reason, and nothing is thrown. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { IDENTITY, TIER_KEY } from "../../test/tier/tier-identity.js";
import type { RejectReason } from "../protocol/kv-tier.js";
import { TierNamespace } from "./names.js";
import { openRecord, recordBytes, sealRecord } from "./record.js";

const namespace = new TierNamespace(TIER_KEY, IDENTITY);
const tokens = Int32Array.from({ length: 64 }, (_, i) => 50_000 - i);
const blocks = namespace.blocksOf("alice", tokens);
const payload = Uint8Array.from({ length: IDENTITY.blockBytes }, (_, i) => i * 31);
const record = sealRecord(namespace, blocks[2], 1, payload);

/** Why a record is rejected that was asked for as block 2 of group 1. */
function rejection(bytes: Uint8Array): RejectReason | null {
  const opened = openRecord(namespace, blocks[2], 1, bytes);
  return "rejected" in opened ? opened.rejected : null;
}

function flipped(at: number, bits: number): Buffer {
  const bytes = Buffer.from(record);
  bytes[at] ^= bits;
  return bytes;
}

describe("what was sealed", () => {
  test("is opened to the same bytes, for blocks of any size and content", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.string({ maxLength: 10 }),
        fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { minLength: 4, maxLength: 12 }),
        fc.integer({ min: 0, max: 65_535 }),
        (bytes, salt, ids, group) => {
          const own = new TierNamespace(TIER_KEY, { ...IDENTITY, blockSize: 4, blockBytes: bytes.length });
          const last = own.blocksOf(salt, Int32Array.from(ids)).at(-1)!;
          const opened = openRecord(own, last, group, sealRecord(own, last, group, bytes));
          expect("payload" in opened && Buffer.compare(opened.payload, bytes)).toBe(0);
        },
      ),
      { numRuns: 50 },
    );
  });

  test.each([200, 100_000])("comes in a buffer that can be handed over: %i bytes", (blockBytes) => {
    const own = new TierNamespace(TIER_KEY, { ...IDENTITY, blockBytes });
    const [block] = own.blocksOf("", tokens);
    const opened = openRecord(own, block, 0, sealRecord(own, block, 0, new Uint8Array(blockBytes)));
    if ("rejected" in opened) throw new Error(opened.rejected);
    expect(opened.payload.buffer.byteLength).toBe(blockBytes);
    expect(structuredClone(opened.payload, { transfer: [opened.payload.buffer] })).toHaveLength(blockBytes);
  });

  test("is never the same record twice", () => {
    expect(sealRecord(namespace, blocks[2], 1, payload).equals(record)).toBe(false);
  });

  test("shows neither tokens nor K and V nor which block comes before", () => {
    const zeros = new TierNamespace(TIER_KEY, { ...IDENTITY, blockBytes: 400 });
    const [, second] = zeros.blocksOf("", tokens);
    const sealed = sealRecord(zeros, second, 0, new Uint8Array(400));
    for (const part of [second.parent, second.tokens.subarray(0, 8), second.id, Buffer.alloc(8)])
      expect(sealed.subarray(16).includes(part)).toBe(false);
  });

  test("of version 1 can still be opened", () => {
    expect(openRecord(namespace, blocks[2], 1, Buffer.from(PINNED, "base64"))).toEqual({ payload });
  });

  test("must have a block's size", () => {
    expect(() => sealRecord(namespace, blocks[2], 1, payload.subarray(1))).toThrow(RangeError);
  });
});

describe("is rejected", () => {
  test("with any bit of any byte changed, for the reason that the byte says", () => {
    const reasons: [RejectReason, number][] = [
      ["format", 6],
      ["position", 12],
      ["length", 16],
      ["namespace", 48],
      ["authentication", recordBytes(namespace)],
    ];
    let at = 0;
    const surprises: unknown[] = [];
    for (const [reason, end] of reasons) {
      for (; at < end; at++) {
        for (let bit = 0; bit < 8; bit++) {
          const found = rejection(flipped(at, 1 << bit));
          if (found !== reason) surprises.push([at, bit, found]);
        }
      }
    }
    expect(surprises).toEqual([]);
    expect(at).toBe(record.length);
  });

  test("cut off anywhere, or longer", () => {
    const lengths = [...record.keys()].filter((length) => rejection(record.subarray(0, length)) !== "length");
    expect(lengths).toEqual([]);
    for (let by = 1; by < 100; by += 7)
      expect(rejection(Buffer.concat([record, Buffer.alloc(by)]))).toBe("length");
    expect(rejection(record.subarray(1))).toBe("length");
  });

  test("whatever the bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2 * record.length }), (bytes) => {
        expect(rejection(bytes)).not.toBeNull();
      }),
      { numRuns: 100 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: record.length, maxLength: record.length }), (bytes) => {
        const behindHeader = Buffer.concat([record.subarray(0, 60), bytes.subarray(60)]);
        expect(rejection(bytes)).toBe("format");
        expect(rejection(behindHeader)).toBe("authentication");
      }),
      { numRuns: 50 },
    );
  });

  test("under another's name: another block, another group, another tenant, another prompt", () => {
    const others = [
      sealRecord(namespace, blocks[1], 1, payload),
      sealRecord(namespace, blocks[2], 0, payload),
    ];
    for (const other of others) expect(rejection(other)).toBe("position");
    const [, , ofBob] = namespace.blocksOf("bob", tokens);
    const changed = tokens.slice();
    changed[0] += 1;
    const [, , ofAnotherPrompt] = namespace.blocksOf("alice", changed);
    for (const block of [ofBob, ofAnotherPrompt])
      expect(rejection(sealRecord(namespace, block, 1, payload))).toBe("authentication");
  });

  test("moved by who can write but has no key: places changed in the clear", () => {
    const moved = Buffer.from(sealRecord(namespace, blocks[1], 1, payload));
    moved.writeUInt32LE(2, 8);
    expect(rejection(moved)).toBe("authentication");
  });

  test("of another namespace: another model, another build, another key", () => {
    const build = new TierNamespace(TIER_KEY, { ...IDENTITY, probe: "00fe" });
    const key = new TierNamespace(Uint8Array.from(TIER_KEY).fill(9, 31), IDENTITY);
    expect(rejection(sealRecord(build, build.blocksOf("alice", tokens)[2], 1, payload))).toBe("namespace");
    expect(rejection(sealRecord(key, key.blocksOf("alice", tokens)[2], 1, payload))).toBe("authentication");
  });

  test("from a holder of the key that was wrong about what comes before", () => {
    const wrongParent = { ...blocks[2], parent: blocks[0].id };
    const wrongTokens = { ...blocks[2], tokens: Buffer.from(blocks[1].tokens) };
    for (const wrong of [wrongParent, wrongTokens])
      expect(rejection(sealRecord(namespace, wrong, 1, payload))).toBe("tokens");
  });

  test("and what was given is left as it was", () => {
    const bytes = flipped(100, 1);
    const before = Buffer.from(bytes);
    rejection(bytes);
    expect(bytes.equals(before)).toBe(true);
  });
});

test("an earlier record of the same name is as good as any: the same name means the same bytes", () => {
  const later = sealRecord(namespace, blocks[2], 1, payload);
  for (const sealed of [record, later])
    expect(openRecord(namespace, blocks[2], 1, sealed)).toEqual({ payload });
});

/** The record above, as version 1 wrote it. */
const PINNED =
  "TFJLVgEAAQACAAAAyAAAAK1WuE0lqTGssiG6kXiiYegacL1GPgMjXHs6GW6cycX1bSfFSMDJ28lrmVbCWbf2lv7N+8TAYgUAYmxjjErQPKA+NuN76jauSqFRjP5XNhnlsXuFbmur7kKzAb40PlByl8Pmad5kS/W40gShQGnm+UfRHgJ3p5oAWwVJwR3XJi8rn+4pveebvT6IIW4XJwbiKQwRMaH7s28fo2lA0/RyTGazZzaqLHwIRfCi0iODes+5vqdf/0Ttoh1FRqow5LtBDDkPseuaVtYWpsExwyFylBXnvWazVjY672NaksSUBftuFFBE4DedLGumAjtQD6uZmKav0nP1M+unbDX1dl/3GFKuy/onzhBVsN9QkRVtExjfYptl6YVop2RvPDfF4QCGaZU4gIZN2TWd1VH7AiLwOCCi5pM90W0EoTUYZ6kH7MnaLZTBcCmyC2DHjqb4qEhOH0cwVJVmcQIvhBGX7CmmF8Z2/M5d";
