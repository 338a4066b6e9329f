import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, test } from "vitest";
import { openGguf } from "../src/formats/gguf/open-gguf.js";
import { STORED_TYPES, type StoredDtype, storedBytes } from "../src/kernels/weight-types.js";
import { folderFiles } from "../src/platform/disk-files.js";
import { ggufTokenizerFiles } from "../src/tokenizer/gguf-tokenizer.js";
import { tokenizerOf } from "../src/tokenizer/make-tokenizer.js";
import { metadataOf } from "../test/gguf-vocabulary.js";
import { ggufValue } from "./gguf-writer.js";
import { makeRandomGguf } from "./make-random-model.js";
import type { Mixture } from "./mixtures.js";
import type { PresetName } from "./presets.js";
import { planRandomGguf } from "./random-gguf.js";

/** As files with these names on the Hub have them; rows of 576 values have other types than those of 2048. */
test.each<[PresetName, Mixture, Partial<Record<StoredDtype, number>>, number]>([
  ["llama-3.2-1b", "q4_k_m", { Q4_K: 96, Q6_K: 17, F32: 34 }, 799_862_912],
  ["smollm2-135m", "q4_k_m", { Q5_0: 166, Q8_0: 15, Q4_K: 16, Q6_K: 14, F32: 61 }, 0],
  ["smollm2-135m", "q4_0", { Q4_0: 210, Q8_0: 1, F32: 61 }, 0],
  ["smollm2-135m", "q8_0", { Q8_0: 211, F32: 61 }, 0],
  ["smollm2-135m", "bf16", { BF16: 211, F32: 61 }, 0],
])("%s in %s has the types of the quantiser's", (preset, mixture, types, bytes) => {
  const { tensors } = planRandomGguf(preset, mixture);
  const counts: Partial<Record<StoredDtype, number>> = {};
  let sum = 0;
  for (const { dtype, shape } of tensors) {
    counts[dtype] = (counts[dtype] ?? 0) + 1;
    sum += storedBytes(
      dtype,
      shape.reduce((product, size) => product * size, 1),
    );
  }
  expect(counts).toEqual(types);
  if (bytes > 0) expect(sum).toBe(bytes);
});

it("fills blocks with bits that are the seed's, under scales that are finite", () => {
  const first = (seed: number, name: string) => {
    const tensor = planRandomGguf("smollm2-135m", "q4_k_m", seed).tensors.find((one) => one.name === name)!;
    const [piece] = tensor.data();
    return { ...STORED_TYPES[tensor.dtype], piece: piece! };
  };
  for (const name of ["token_embd.weight", "blk.3.attn_q.weight", "blk.3.ffn_down.weight"]) {
    const { piece, bytes } = first(1, name);
    expect(piece.length % bytes).toBe(0);
    expect(Buffer.compare(first(1, name).piece, piece)).toBe(0);
    expect(Buffer.compare(first(2, name).piece, piece)).not.toBe(0);
    const view = new DataView(piece.buffer, piece.byteOffset);
    const scales = Array.from({ length: piece.length / bytes }, (_, i) => view.getUint16(i * bytes, true));
    expect(
      scales.filter((scale) => scale === 0 || scale >= 0x7c00),
      name,
    ).toEqual([]);
  }
});

it("has a vocabulary that works", () => {
  const { metadata } = planRandomGguf("smollm2-135m", "q8_0");
  const { files, notice, eosTokenIds } = ggufTokenizerFiles(metadataOf(new Map(Object.entries(metadata))));
  expect([notice, eosTokenIds]).toEqual([null, [0]]);
  const tokenizer = tokenizerOf(files!, 49_152);
  const ids = tokenizer.encode("Hello there, 2 wörlds");
  expect(ids.length).toBeLessThan("Hello there, 2 wörlds".length);
  expect(tokenizer.decode(ids)).toBe("Hello there, 2 wörlds");
  expect(tokenizer.isSpecial(16) && !tokenizer.isSpecial(17)).toBe(true);
});

it("refuses a shape whose vocabulary is of another kind", () => {
  expect(() => planRandomGguf("gemma-3-270m", "q8_0")).toThrow("a vocabulary of another kind");
});

it("is written once, unless forced, with its progress told", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-random-gguf-"));
  try {
    const path = join(folder, "new", "m.gguf");
    const tensor = (name: string) => ({
      ...({
        name,
        dtype: "Q8_0",
        shape: [2, 32],
        data: () => [new Uint8Array(34), new Uint8Array(34)],
      } as const),
    });
    const file = { metadata: { "general.name": ggufValue.text("m") }, tensors: [tensor("a"), tensor("b")] };
    const reports: [number, number][] = [];
    const bytes = await makeRandomGguf(path, file, { onProgress: (...report) => reports.push(report) });
    expect(reports).toHaveLength(4);
    expect(reports.at(-1)![0]).toBe(reports.at(-1)![1]);
    const opened = await openGguf(folderFiles("m", join(folder, "new")), ["m.gguf"]);
    expect([...opened.tensors.keys()]).toEqual(["a", "b"]);
    expect(opened.files[0]!.size).toBe(bytes);
    await opened.close();
    await expect(makeRandomGguf(path, file)).rejects.toThrow("is there already; --force replaces it.");
    expect(await makeRandomGguf(path, file, { force: true })).toBe(bytes);
    expect(await readdir(join(folder, "new"))).toEqual(["m.gguf"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
