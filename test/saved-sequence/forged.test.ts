/**
 * Files that somebody has made on purpose: other contents under checksums that fit them. Each check behind the checksums
 * stands alone here, since none of them would be reached by a file that is merely damaged.
 */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import type { Sequence } from "../../src/client/sequence.js";
import { LanguageModel } from "../../src/library/language-model.js";
import { arbitraryTokens } from "../fixture-models.js";
import { loadInProcess } from "../in-process.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { safetensorsBytes } from "../safetensors-bytes.js";

const installationKey = new Uint8Array(32).fill(9);
const VOCABULARY = 61;
const CONTEXT = 32;
const LENGTH = 18;
/** What `metadata_sha256` covers, in its order: docs/saved-sequences.md. */
const COVERED = [
  "format",
  "format_version",
  "fingerprint",
  "dtype",
  "kv_dtype",
  "numerics_version",
  "token_ids",
  "block_sha256",
];

interface Tensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}
type Tensors = Record<string, Tensor>;
type Metadata = Record<string, string>;

let lm: LanguageModel;
let s: Sequence;
let saved: Uint8Array<ArrayBuffer>;
let data: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  const files = memoryFiles(
    "small",
    randomModelFiles({ layers: 1, heads: 1, embd: 2, vocab: VOCABULARY, context: CONTEXT }),
  );
  lm = new LanguageModel(await loadInProcess(files, { threads: 1, installationKey }));
  s = await lm.sequence(arbitraryTokens(LENGTH, VOCABULARY));
  saved = new Uint8Array(await (await s.save()).arrayBuffer());
  data = saved.slice(8 + headerBytes());
});
afterAll(() => lm.dispose());

function headerBytes(): number {
  return Number(new DataView(saved.buffer).getBigUint64(0, true));
}

/** The saved file with another header, whose checksum fits it, and with as many bytes of data as that asks for. */
function forged(change: (tensors: Tensors, metadata: Metadata) => void): Uint8Array {
  const header = JSON.parse(new TextDecoder().decode(saved.subarray(8, 8 + headerBytes())));
  const { __metadata__: metadata, ...tensors }: { __metadata__: Metadata } & Tensors = header;
  change(tensors, metadata);
  const covered = COVERED.map((name) => `${name}=${metadata[name]}\n`).join("");
  metadata.metadata_sha256 = createHash("sha256").update(covered).digest("hex");
  const dataBytes = Math.max(...Object.values(tensors).map(({ data_offsets: [, end] }) => end));
  const bytes = safetensorsBytes({ __metadata__: metadata, ...tensors }, dataBytes);
  bytes.set(data, bytes.length - dataBytes);
  return bytes;
}

const withField = (name: string, value: string) =>
  forged((_, metadata) => {
    metadata[name] = value;
  });
const withKey = (change: Partial<Tensor>) =>
  forged((tensors) => {
    tensors["layer.0.key"] = { ...tensors["layer.0.key"], ...change };
  });
const tokensOf = (count: number) => arbitraryTokens(count, VOCABULARY).join(",");

test("a header that was written again is as good as the first", async () => {
  await using u = await lm.restore(forged(() => undefined));
  expect(firstDifferentBits(u.logits, s.logits)).toBeNull();
});

test.each<[string, () => Uint8Array, string, RegExp]>([
  ["another format", () => withField("format", "x"), "invalid", /does not say format lastrow\.sequence\.$/],
  ["a later version", () => withField("format_version", "3"), "mismatch", /has version "3" of the format/],
  ["another model", () => withField("fingerprint", "0".repeat(64)), "mismatch", /its fingerprint is "000/],
  ["other weights", () => withField("dtype", "int8"), "mismatch", /their dtype is "int8", here it is "f32"/],
  ["another KV type", () => withField("kv_dtype", "int8"), "mismatch", /kvDtype is "int8"/],
  ["other numerics", () => withField("numerics_version", "0"), "mismatch", /numerics: it is "0"/],
  ["no checksum", () => withField("block_sha256", ""), "invalid", /has 1 checksums for 2 blocks\.$/],
  [
    "a checksum too many",
    () => withField("block_sha256", Array(3).fill("0".repeat(64)).join(",")),
    "invalid",
    /has 3 checksums for 2 blocks\.$/,
  ],
  [
    "other checksums",
    () => withField("block_sha256", Array(2).fill("0".repeat(64)).join(",")),
    "invalid",
    /positions 0 to 15 do not have the SHA-256/,
  ],
  [
    "a token too few",
    () => withField("token_ids", tokensOf(17)),
    "invalid",
    /no tensor layer\.0\.key of F32 \(17, /,
  ],
  [
    "a token too many",
    () => withField("token_ids", tokensOf(19)),
    "invalid",
    /no tensor layer\.0\.key of F32 \(19, /,
  ],
  [
    "more than the context",
    () => withField("token_ids", tokensOf(33)),
    "invalid",
    /has 33 tokens, .* context has 32\.$/,
  ],
  ...["61", "-1", "1e1", "0x1", "1.0", " 1", "", "00000000001"].map(
    (id) =>
      [
        `the token ${JSON.stringify(id)}`,
        () => withField("token_ids", `${id},${tokensOf(17)}`),
        "invalid",
        /token_ids that are not numbers from 0 to 60 with commas between them\.$/,
      ] as [string, () => Uint8Array, string, RegExp],
  ),
  [
    "another shape",
    () => withKey({ shape: [LENGTH, 2, 1] }),
    "invalid",
    /no tensor layer\.0\.key of F32 \(18, 1, 2\)/,
  ],
  ["another type", () => withKey({ dtype: "I32" }), "invalid", /no tensor layer\.0\.key of F32 \(18, 1, 2\)/],
  [
    "another name",
    () =>
      forged((tensors) => {
        tensors["layer.1.key"] = tensors["layer.0.key"];
        delete tensors["layer.0.key"];
      }),
    "invalid",
    /no tensor layer\.0\.key/,
  ],
  [
    "a tensor more",
    () =>
      forged((tensors) => {
        tensors.x = { dtype: "F32", shape: [1], data_offsets: [data.length, data.length + 4] };
      }),
    "invalid",
    /has 3 tensors, not the 2 that it should have\.$/,
  ],
])("with %s it is refused", async (_, file, kind, message) => {
  const before = await lm.stats();
  await expect(lm.restore(file())).rejects.toMatchObject({
    code: `saved_sequence_${kind}`,
    message: expect.stringMatching(message),
  });
  expect((await lm.stats()).blocks).toEqual(before.blocks);
});

test.each<[string, number, (signature: string) => string]>([
  ["the signature of other contents", 1, (signature) => signature],
  ["an empty signature", 2, () => ""],
  ["the beginning of a signature", 3, (signature) => signature.slice(0, 1)],
])("with %s it is restored, and nobody else finds it", async (_, shift, change) => {
  // Other tokens over the same K and V: what found these blocks would get wrong logits.
  const tokens = s.tokens.map((token) => (token + shift) % VOCABULARY);
  const file = forged((_tensors, metadata) => {
    metadata.token_ids = tokens.join(",");
    metadata.hmac_sha256 = change(metadata.hmac_sha256);
  });
  await using u = await lm.restore(file);
  expect(u.numCachedTokens).toBe(LENGTH - 1);
  expect((await lm.logits([...tokens, 1])).numCachedTokens).toBe(0);
});
