/** Sequences of models from GGUF files: which files and which types of weights are one model, and which are another. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { openGguf } from "../../src/formats/gguf/open-gguf.js";
import { type LanguageModel, type LoadOptions, load } from "../../src/index.js";
import { ggufPath } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";

const TOKENS = Array.from({ length: 19 }, (_, i) => (7 * i + 3) % 61);
const installationKey = new Uint8Array(32).fill(7);

const contents = (name: Parameters<typeof ggufPath>[0]) => new Uint8Array(readFileSync(ggufPath(name)));
const mixed = contents("llama-q4_k_m");

function open(file: Uint8Array, options: LoadOptions = {}, name = "m.gguf"): Promise<LanguageModel> {
  const files = Object.assign(memoryFiles("m", { [name]: file }), { gguf: [name] });
  return load(files, { threads: 1, worker: false, installationKey, ...options });
}

async function savedBy(lm: LanguageModel): Promise<{ file: Uint8Array; logits: Float32Array }> {
  const sequence = await lm.sequence(TOKENS);
  return { file: new Uint8Array(await (await sequence.save()).arrayBuffer()), logits: sequence.logits };
}

function metadataIn(file: Uint8Array): Readonly<Record<string, string>> {
  const length = new DataView(file.buffer).getUint32(0, true);
  return JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))).__metadata__;
}

async function fingerprintOf(file: Uint8Array): Promise<string> {
  await using lm = await open(file);
  return metadataIn((await savedBy(lm)).file).fingerprint!;
}

/** The file with the lowest bit of the value changed that begins at this byte of a tensor. */
async function withOther(file: Uint8Array, tensor: string, byte: number): Promise<Uint8Array> {
  const gguf = await openGguf(memoryFiles("m", { "m.gguf": file }), ["m.gguf"]);
  await gguf.close();
  const copy = file.slice();
  copy[gguf.tensors.get(tensor)!.entry.begin + byte]! ^= 1;
  return copy;
}

describe("a sequence of a file of Q4_K and Q6_K", () => {
  test("says so, restores under any name of the file, with the bits of the one that was saved", async () => {
    await using lm = await open(mixed);
    const { file, logits } = await savedBy(lm);
    expect(metadataIn(file)).toMatchObject({ dtype: "q4_k+q6_k", kv_dtype: "f32", numerics_version: "1" });
    await using other = await open(mixed, { threads: 2 }, "other.gguf");
    const restored = await other.restore(file);
    expect(restored.tokens).toEqual(TOKENS);
    const { logits: again } = await other.logits([...TOKENS, 5]);
    await restored.append([5]);
    expect(firstDifferentBits(restored.logits, again)).toBeNull();
    expect(firstDifferentBits(logits, (await other.logits(TOKENS)).logits)).toBeNull();
  });

  test("is not one of the same file whose weights are f32, nor of another file", async () => {
    await using lm = await open(mixed);
    const { file } = await savedBy(lm);
    await using widened = await open(mixed, { dtype: "f32" });
    await expect(widened.restore(file)).rejects.toMatchObject({
      code: "saved_sequence_mismatch",
      message: expect.stringContaining('their dtype is "q4_k+q6_k", here it is "f32"'),
    });
    await using other = await open(contents("llama-q5_k"));
    await expect(other.restore(file)).rejects.toMatchObject({ code: "saved_sequence_mismatch" });
  });
});

test("a fingerprint is of the metadata, of every weight, and of factors of the rotation", async () => {
  const file = contents("llama-rope3-q8_0");
  const renamed = file.slice();
  renamed[Buffer.from(file.buffer).indexOf("llama-rope3")]! ^= 1;
  const others = [
    file,
    renamed,
    await withOther(file, "output_norm.weight", 0),
    await withOther(file, "blk.0.ffn_up.weight", 2),
    await withOther(file, "rope_freqs.weight", 0),
  ];
  const fingerprints: string[] = [];
  for (const other of others) fingerprints.push(await fingerprintOf(other));
  expect(new Set(fingerprints).size).toBe(others.length);
  expect(await fingerprintOf(file.slice())).toBe(fingerprints[0]);
});
