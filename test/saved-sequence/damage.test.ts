/** Files that are damaged, foreign or made up: always refused with one error, and nothing has changed; or harmless. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import type { Sequence } from "../../src/client/sequence.js";
import { type ErrorCode, LastrowError } from "../../src/errors.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import { LanguageModel } from "../../src/library/language-model.js";
import { arbitraryTokens, modelFolders } from "../fixture-models.js";
import { loadInProcess } from "../in-process.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { safetensorsBytes } from "../safetensors-bytes.js";

const installationKey = new Uint8Array(32).fill(7);
const small = { layers: 1, heads: 1, embd: 2, vocab: 61, context: 32 };

let parts: Awaited<ReturnType<typeof loadInProcess>>;
let lm: LanguageModel;
let s: Sequence;
let saved: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  parts = await loadInProcess(memoryFiles("small", randomModelFiles(small)), { threads: 1, installationKey });
  lm = new LanguageModel(parts);
  s = await lm.sequence(arbitraryTokens(18, 61));
  saved = new Uint8Array(await (await s.save()).arrayBuffer());
});
afterAll(() => lm.dispose());

/** Restores and disposes; null when it was refused, and the codes are those of refusals. */
async function tryRestore(bytes: Uint8Array): Promise<Float32Array | null> {
  const before = snapshot();
  try {
    const u = await lm.restore(bytes);
    const { logits } = u;
    await u.dispose();
    return logits;
  } catch (error) {
    expect(error).toBeInstanceOf(LastrowError);
    const codes: ErrorCode[] = ["saved_sequence_invalid", "saved_sequence_mismatch"];
    expect(codes).toContain((error as LastrowError).code);
    expect(snapshot()).toEqual(before);
    return null;
  } finally {
    expect(violatedInvariants(parts.core.kvCache)).toEqual([]);
  }
}

/** What must not change: what holds what, what can be found, what was computed. */
function snapshot() {
  const { blocks, rows, sequences } = parts.core.stats;
  return { blocks, rows, sequences, published: parts.core.kvCache.index.size };
}

function headerEnd(): number {
  return 8 + Number(new DataView(saved.buffer).getBigUint64(0, true));
}

test("every byte flipped, one at a time: refused, or harmless", async () => {
  const text = new TextDecoder().decode(saved.subarray(8, headerEnd()));
  let harmless = 0;
  const flips = [0x01, 0x20, 0xff];
  for (let at = 0; at < saved.length; at++) {
    // What is behind the header is held by sums over all of it: one bit is as good as another.
    for (const flip of at < headerEnd() ? flips : [flips[at % 3]]) {
      const bytes = saved.slice();
      bytes[at] ^= flip;
      const logits = await tryRestore(bytes);
      if (logits === null) continue;
      expect(firstDifferentBits(logits, s.logits)).toBeNull();
      harmless += 1;
      // Only the signature, its name, and space behind the header prove nothing about the contents.
      const isSignature = at - 8 >= text.indexOf('"hmac_sha256"') && at - 8 <= text.indexOf('"}');
      expect(isSignature || text[at - 8] === " ").toBe(true);
    }
  }
  expect(harmless).toBeLessThan(3 * 90);
});

test("every truncation, and a byte too many, is refused", async () => {
  for (let length = 0; length < saved.length; length++) {
    expect(await tryRestore(saved.subarray(0, length))).toBeNull();
  }
  expect(await tryRestore(new Uint8Array([...saved, 0]))).toBeNull();
});

test("random bytes and random headers are refused", async () => {
  const entry = fc.record({
    dtype: fc.constantFrom("F32", "I8", "F16", "F64"),
    shape: fc.array(fc.nat({ max: 40 }), { maxLength: 4 }),
    data_offsets: fc.tuple(fc.nat({ max: 300 }), fc.nat({ max: 300 })),
  });
  const metadata = fc.dictionary(
    fc.constantFrom(
      "format",
      "format_version",
      "fingerprint",
      "token_ids",
      "block_sha256",
      "metadata_sha256",
    ),
    fc.oneof(fc.constantFrom("lastrow.sequence", "1", "1,2,3"), fc.string()),
  );
  const header = fc
    .tuple(fc.dictionary(fc.constantFrom("layer.0.key", "layer.0.value", "x"), entry), metadata)
    .map(([tensors, text]) => safetensorsBytes({ __metadata__: text, ...tensors }, 300));
  await fc.assert(
    fc.asyncProperty(fc.oneof(header, fc.uint8Array({ maxLength: 200 })), async (bytes) => {
      expect(await tryRestore(bytes)).toBeNull();
    }),
    { numRuns: 500 },
  );
});

test("a header that states more than any saved sequence has is refused before it is read", async () => {
  const bytes = new Uint8Array(1024 * 1024);
  new DataView(bytes.buffer).setBigUint64(0, 1024n * 1024n - 8n, true);
  await expect(lm.restore(bytes)).rejects.toThrow("at most");
});

describe("what belongs to another model", () => {
  test.each([
    ["other weights", { ...small, seed: 2 }, {}],
    ["another config", { ...small, config: { layer_norm_epsilon: 1e-6 } }, {}],
    ["another dtype", small, { dtype: "int8" }],
    ["another KV type", small, { kvDtype: "int8" }],
  ] as const)("%s", async (_, model, options) => {
    const files = memoryFiles("small", randomModelFiles(model));
    await using elsewhere = new LanguageModel(await loadInProcess(files, { threads: 1, ...options }));
    await expect(elsewhere.restore(saved)).rejects.toMatchObject({ code: "saved_sequence_mismatch" });
    await expect(elsewhere.stats()).resolves.toMatchObject({ blocks: { referenced: 0 } });
  });

  test("the embedded model", async () => {
    await using elsewhere = new LanguageModel(await loadInProcess(modelFolders.stories, { threads: 1 }));
    await expect(elsewhere.restore(saved)).rejects.toMatchObject({ code: "saved_sequence_mismatch" });
  });
});

test("the same model: sharded, on the reference kernels, under another name", async () => {
  const files = memoryFiles("other", randomModelFiles({ ...small, shards: 3 }));
  const options = { kernels: "reference", installationKey: null } as const;
  await using other = new LanguageModel(await loadInProcess(files, options));
  const u = await other.restore(saved);
  expect(firstDifferentBits(u.logits, s.logits)).toBeNull();
});

test("what cannot be a source", async () => {
  await expect(lm.restore(3 as never)).rejects.toMatchObject({ code: "invalid_argument" });
  await expect(lm.restore("/nowhere/at all")).rejects.toMatchObject({ code: "saved_sequence_not_found" });
  await expect(lm.restore("/")).rejects.toMatchObject({ code: "saved_sequence_not_found" });
  await expect(lm.restore(saved, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
});
