import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { memoryFiles } from "../../test/memory-files.js";
import { randomModelFiles } from "../../test/random-model.js";
import { type Checkpoint, type CheckpointTensor, openCheckpoint } from "../formats/checkpoint.js";
import type { DecoderSpec } from "../model/decoder-spec.js";
import { gpt2 } from "./gpt2.js";
import { matchTensors } from "./match-tensors.js";
import { readModelConfig } from "./read-config.js";

type Contents = Record<string, Uint8Array | string>;

async function openModel(contents: Contents): Promise<{ checkpoint: Checkpoint; decoder: DecoderSpec }> {
  const files = memoryFiles("m", contents);
  const { decoder } = await readModelConfig(files);
  return { checkpoint: await openCheckpoint(files), decoder };
}

async function planOf(contents: Contents) {
  const { checkpoint, decoder } = await openModel(contents);
  return matchTensors(checkpoint, gpt2, decoder);
}

function folder(name: string): Contents {
  const read = (file: string) => readFileSync(new URL(`../../${name}/${file}`, import.meta.url));
  return { "config.json": read("config.json"), "model.safetensors": read("model.safetensors") };
}

/** A checkpoint with one tensor replaced, added (when it has no such name) or, by `null`, removed. */
function changed(
  checkpoint: Checkpoint,
  name: string,
  entry: Partial<CheckpointTensor["entry"]> | null,
): Checkpoint {
  const tensors = new Map(checkpoint.tensors);
  const old = tensors.get(name) ?? tensors.get("ln_f.bias")!;
  if (entry === null) tensors.delete(name);
  else tensors.set(name, { file: old.file, entry: { ...old.entry, name, ...entry } });
  return { ...checkpoint, tensors };
}

describe("matchTensors of a GPT-2", () => {
  it("plans models that transformers wrote", async () => {
    const tiny = await planOf(folder("test/fixtures/tiny"));
    // V·C + ctx·C + layers·(12·C² + 13·C) + 2·C
    expect(tiny.parameters).toBe(307 * 64 + 96 * 64 + 2 * (12 * 64 ** 2 + 13 * 64) + 2 * 64);
    expect(tiny.tensors.size).toBe(2 * 12 + 4);
    expect(tiny.decoder.tied).toBe(true);
    expect(tiny.tensors.get("h.1.mlp.c_fc.weight")!.entry.shape).toEqual([64, 256]);

    const odd = await planOf(folder("test/fixtures/odd"));
    const perLayer = 60 * 180 + 180 + 60 * 60 + 60 + 2 * 60 * 100 + 100 + 60 + 4 * 60;
    expect(odd.parameters).toBe(211 * 60 + 77 * 60 + 3 * perLayer + 2 * 60);

    const stories = await planOf(folder("models/stories"));
    expect(stories.tensors.get("wte.weight")!.entry.dtype).toBe("F16");
  });

  it("keeps the checkpoint's order, so that files are read forwards", async () => {
    const { checkpoint, decoder } = await openModel(randomModelFiles({ shards: 3, layers: 12 }));
    const plan = matchTensors(checkpoint, gpt2, decoder);
    const names = [...checkpoint.tensors.keys()].map((name) => name.replace(/^transformer\./, ""));
    expect([...plan.tensors.keys()]).toEqual(names);
    const positions = [...plan.tensors.values()].map(({ entry, file }) => ({
      file: file.name,
      begin: entry.begin,
    }));
    expect(new Set(positions.map(({ file }) => file)).size).toBe(3);
    expect(positions).toEqual(
      positions.toSorted((a, b) => (a.file === b.file ? a.begin - b.begin : a.file < b.file ? -1 : 1)),
    );
  });

  it.each(["F32", "F16", "BF16"] as const)("takes %s weights with and without the prefix", async (dtype) => {
    for (const prefix of [true, false]) {
      const plan = await planOf(randomModelFiles({ dtype, prefix }));
      expect(plan.tensors.get("wte.weight")!.entry.dtype).toBe(dtype);
      expect(plan.parameters).toBe(61 * 8 + 32 * 8 + 2 * (12 * 64 + 13 * 8) + 16);
    }
  });

  it("ignores mask buffers", async () => {
    const { checkpoint, decoder } = await openModel(randomModelFiles({ maskBuffers: true, prefix: false }));
    expect(checkpoint.tensors.has("h.1.attn.bias")).toBe(true);
    expect(checkpoint.tensors.has("h.1.attn.masked_bias")).toBe(true);
    const plan = matchTensors(checkpoint, gpt2, decoder);
    expect(plan).toEqual({ ...(await planOf(randomModelFiles({ prefix: false }))), tensors: plan.tensors });
    expect(plan.tensors.size).toBe(2 * 12 + 4);
  });

  it("wants lm_head.weight when it is not tied, and uses one that is there", async () => {
    const untied = await openModel(randomModelFiles({ tied: false }));
    const plan = matchTensors(untied.checkpoint, gpt2, untied.decoder);
    expect(plan.tensors.get("lm_head.weight")!.entry.shape).toEqual([61, 8]);
    expect(plan.decoder.tied).toBe(false);

    const tiedDecoder = { ...untied.decoder, tied: true };
    const { rows, ...head } = matchTensors(untied.checkpoint, gpt2, tiedDecoder).tensors.get(
      "lm_head.weight",
    )!;
    expect(rows.map(({ to }) => to)).toEqual(["head"]);
    expect(plan.tensors.get("lm_head.weight")).toMatchObject(head);

    const without = changed(untied.checkpoint, "lm_head.weight", null);
    expect(() => matchTensors(without, gpt2, untied.decoder)).toThrow(
      'model.safetensors: tensor "lm_head.weight" of shape [61, 8] is missing.',
    );
    const tied = matchTensors(without, gpt2, tiedDecoder);
    expect(tied.decoder.tied).toBe(true);
    expect(tied.parameters).toBe(plan.parameters - 61 * 8);
  });

  it("refuses a name that comes with and without the prefix", async () => {
    const { checkpoint, decoder } = await openModel(randomModelFiles({ prefix: false }));
    const twice = changed(checkpoint, "transformer.wte.weight", {});
    expect(() => matchTensors(twice, gpt2, decoder)).toThrow(
      'Tensor "wte.weight" comes twice: "wte.weight" in model.safetensors and "transformer.wte.weight" in model.safetensors.',
    );
  });

  it("misses every weight that is not there", async () => {
    const { checkpoint, decoder } = await openModel(randomModelFiles({ prefix: false }));
    for (const name of checkpoint.tensors.keys()) {
      expect(() => matchTensors(changed(checkpoint, name, null), gpt2, decoder)).toThrow(
        expect.objectContaining({
          code: "model_file_invalid",
          message: expect.stringContaining(`tensor "${name}" of shape`),
        }),
      );
    }
  });

  it("checks the shape of every weight", async () => {
    const { checkpoint, decoder } = await openModel(randomModelFiles({ prefix: false }));
    for (const [name, { entry }] of checkpoint.tensors) {
      const wrongShapes = [[...entry.shape, 1], entry.shape.slice(1), entry.shape.map((size) => size + 1)];
      if (entry.shape[0] !== entry.shape[1])
        wrongShapes.push(entry.shape.toReversed().concat([1]).slice(0, -1));
      for (const shape of wrongShapes) {
        if (shape.length === 1 && shape[0] === entry.shape[0]) continue;
        expect(() => matchTensors(changed(checkpoint, name, { shape }), gpt2, decoder)).toThrow(
          expect.objectContaining({
            code: "model_file_invalid",
            message: expect.stringMatching(
              /: tensor ".*" has shape \[.*\], but the config asks for \[.*\]\.$/,
            ),
          }),
        );
      }
    }
    const message =
      'model.safetensors: tensor "wpe.weight" has shape [31, 8], but the config asks for [32, 8].';
    expect(() => matchTensors(changed(checkpoint, "wpe.weight", { shape: [31, 8] }), gpt2, decoder)).toThrow(
      message,
    );
  });

  it.each(["F64", "I8", "BOOL", "F8_E4M3"])("does not read weights of dtype %s", async (dtype) => {
    const { checkpoint, decoder } = await openModel(randomModelFiles({ prefix: false }));
    expect(() => matchTensors(changed(checkpoint, "ln_f.weight", { dtype }), gpt2, decoder)).toThrow(
      expect.objectContaining({
        code: "model_unsupported",
        message: `model.safetensors: tensor "ln_f.weight" has dtype ${dtype}; weights are read as F32, F16, BF16.`,
      }),
    );
  });

  it.each([
    "h.2.ln_1.bias",
    "h.0.attn.bias.extra",
    "score.weight",
    "h.0.crossattention.c_attn.weight",
    "h.00.ln_1.bias",
  ])("refuses %s in a model of 2 layers", async (name) => {
    const { checkpoint, decoder } = await openModel(randomModelFiles({ prefix: false }));
    expect(() => matchTensors(changed(checkpoint, name, {}), gpt2, decoder)).toThrow(
      expect.objectContaining({
        code: "model_file_invalid",
        message: `model.safetensors: tensor "${name}" does not belong to GPT-2 with 2 layers.`,
      }),
    );
  });
});
