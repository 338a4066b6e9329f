import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type FamilyName, familyFolder, familyNames } from "../../test/fixture-models.js";
import { memoryFiles } from "../../test/memory-files.js";
import { type Checkpoint, type CheckpointTensor, openCheckpoint } from "../formats/checkpoint.js";
import type { ModelConfig } from "../model/config.js";
import { expectArchitecture } from "./known-architectures.js";
import { type MatchedCheckpoint, matchTensors } from "./match-tensors.js";
import { readModelConfig } from "./read-config.js";

interface Model {
  readonly checkpoint: Checkpoint;
  readonly config: ModelConfig;
}

async function open(name: FamilyName): Promise<Model> {
  const read = (file: string) => readFileSync(`${familyFolder(name)}/${file}`);
  const files = memoryFiles(name, {
    "config.json": read("config.json"),
    "model.safetensors": read("model.safetensors"),
  });
  const config = await readModelConfig(files);
  return { config, checkpoint: await openCheckpoint(files) };
}

function match({ checkpoint, config }: Model): MatchedCheckpoint {
  return matchTensors(checkpoint, expectArchitecture(config.modelType), config.decoder);
}

/** A model with other tensors. */
function withTensors(model: Model, change: (tensors: Map<string, CheckpointTensor>) => void): Model {
  const tensors = new Map(model.checkpoint.tensors);
  change(tensors);
  return { ...model, checkpoint: { ...model.checkpoint, tensors } };
}

function put(
  tensors: Map<string, CheckpointTensor>,
  name: string,
  entry: Partial<CheckpointTensor["entry"]>,
): void {
  const like = tensors.get(name) ?? [...tensors.values()][0]!;
  tensors.set(name, { file: like.file, entry: { ...like.entry, name, ...entry } });
}

/** All tensors but those of the later layers, which are as those of the first. */
function oneLayer({ checkpoint }: Model): Map<string, CheckpointTensor> {
  return new Map([...checkpoint.tensors].filter(([name]) => !/\.[1-9]\./.test(name)));
}

const values = (tensors: Iterable<CheckpointTensor>) =>
  [...tensors].reduce(
    (sum, { entry: { shape } }) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  );

describe.each(familyNames)("%s", (name) => {
  it("uses every tensor that transformers wrote, and counts each value once", async () => {
    const model = await open(name);
    const { tensors, parameters, decoder } = match(model);
    expect(tensors.size).toBe(model.checkpoint.tensors.size);
    expect(parameters).toBe(values(model.checkpoint.tensors.values()));
    expect(decoder).toEqual(model.config.decoder);
  });

  it("misses each that is not there, by its name", async () => {
    const model = await open(name);
    const { name: family } = expectArchitecture(model.config.modelType);
    for (const tensor of oneLayer(model).keys()) {
      expect(() => match(withTensors(model, (tensors) => tensors.delete(tensor)))).toThrow(
        expect.objectContaining({
          code: "model_file_invalid",
          message: expect.stringContaining("is missing."),
        }),
      );
      const renamed = withTensors(model, (tensors) => put(tensors, `${tensor}.more`, {}));
      const layers = model.config.numLayers;
      expect(() => match(renamed)).toThrow(
        `model.safetensors: tensor "${tensor}.more" does not belong to ${family} with ${layers} layers.`,
      );
    }
  });

  it("checks the shape of each", async () => {
    const model = await open(name);
    for (const [tensor, { entry }] of oneLayer(model)) {
      const shapes = [
        [...entry.shape, 1],
        entry.shape.map((size) => size + 1),
        [],
        [0, ...entry.shape.slice(1)],
      ];
      if (entry.shape.length === 2 && entry.shape[0] !== entry.shape[1])
        shapes.push(entry.shape.toReversed());
      for (const shape of shapes) {
        expect(() => match(withTensors(model, (tensors) => put(tensors, tensor, { shape })))).toThrow(
          expect.objectContaining({
            code: "model_file_invalid",
            message: expect.stringMatching(/has shape \[.*\], but the config asks for \[.*\]\.$/),
          }),
        );
      }
    }
  });

  it("has no more layers than its config says", async () => {
    const model = await open(name);
    const last = model.config.numLayers - 1;
    const more = [...model.checkpoint.tensors.keys()].filter((tensor) => tensor.includes(`.${last}.`));
    expect(more.length).toBeGreaterThan(5);
    for (const tensor of more) {
      const beyond = tensor.replace(`.${last}.`, `.${last + 1}.`);
      expect(() => match(withTensors(model, (tensors) => put(tensors, beyond, {})))).toThrow(
        "does not belong to",
      );
    }
  });

  it("uses a head of its own where it is not tied, and passes over one where it is", async () => {
    const model = await open(name);
    const head = model.config.modelType === "gpt_neox" ? "embed_out.weight" : "lm_head.weight";
    const { vocabSize, hiddenSize } = model.config;
    const shape = [vocabSize, hiddenSize];
    const without = withTensors(model, (tensors) => tensors.delete(head));
    const withHead = withTensors(model, (tensors) => put(tensors, head, { shape }));
    const stating = (tied: boolean, { checkpoint }: Model): Model => ({
      checkpoint,
      config: { ...model.config, decoder: { ...model.config.decoder, tied } },
    });
    expect(() => match(stating(false, without))).toThrow(
      `tensor "${head}" of shape [${vocabSize}, ${hiddenSize}] is missing.`,
    );
    expect(match(stating(false, withHead)).decoder.tied).toBe(false);
    expect(match(stating(false, withHead)).tensors.has(head)).toBe(true);
    for (const tied of [without, withHead]) {
      expect(match(stating(true, tied)).decoder.tied).toBe(true);
      expect(match(stating(true, tied)).tensors.has(head)).toBe(false);
    }
    expect(match(stating(true, withHead)).parameters).toBe(match(stating(true, without)).parameters);
  });

  it("passes over what is no weight, and takes names without a prefix", async () => {
    const model = await open(name);
    const { prefixes, id } = expectArchitecture(model.config.modelType);
    const buffers: Record<string, string[]> = {
      gpt_neox: ["attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq"].map(
        (buffer) => `gpt_neox.layers.1.${buffer}`,
      ),
      gpt_neo: ["transformer.h.1.attn.attention.bias", "transformer.h.1.attn.attention.masked_bias"],
    };
    const more = withTensors(model, (tensors) => {
      for (const buffer of buffers[id] ?? ["model.layers.1.self_attn.rotary_emb.inv_freq"]) {
        put(tensors, buffer, { dtype: "BOOL", shape: [7] });
      }
    });
    expect(match(more).parameters).toBe(match(model).parameters);
    const bare = withTensors(model, (tensors) => {
      for (const [stored, tensor] of [...tensors]) {
        const prefix = prefixes.find((one) => stored.startsWith(one)) ?? "";
        tensors.delete(stored);
        put(tensors, stored.slice(prefix.length), { ...tensor.entry, name: stored.slice(prefix.length) });
      }
    });
    expect([...match(bare).tensors.keys()]).toEqual([...match(model).tensors.keys()]);
  });
});

describe("the text model of a Gemma 3 that reads images", () => {
  /** As transformers 5 names tensors, and as version 4 did. */
  const spellings = [
    { text: "model.language_model.", head: "lm_head.weight", other: "model." },
    { text: "language_model.model.", head: "language_model.lm_head.weight", other: "" },
  ];

  it.each(spellings)("has its tensors below $text", async ({ text, head, other }) => {
    const inner = await open("gemma3");
    const config = { ...inner.config, modelType: "gemma3" };
    const whole = withTensors({ ...inner, config }, (tensors) => {
      for (const [stored, { entry }] of [...tensors]) {
        const name = stored.replace("model.", text);
        put(tensors, name, { ...entry, name });
        tensors.delete(stored);
      }
      put(tensors, head, { shape: [101, 40] });
      for (const vision of [
        "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
        "multi_modal_projector.mm_soft_emb_norm.weight",
      ]) {
        put(tensors, `${other}${vision}`, { dtype: "F8_E4M3", shape: [3, 5, 7] });
      }
    });
    const expected = match(inner);
    const matched = match(whole);
    expect([...matched.tensors.keys()]).toEqual([...expected.tensors.keys()]);
    expect(matched.parameters).toBe(expected.parameters);
    const untied = { ...config, decoder: { ...config.decoder, tied: false } };
    expect(match({ ...whole, config: untied }).tensors.has("lm_head.weight")).toBe(true);
    const wrong = withTensors(whole, (tensors) => put(tensors, `${other}audio_tower.weight`, {}));
    expect(() => match(wrong)).toThrow(`tensor "${other}audio_tower.weight" does not belong to Gemma 3`);
  });
});
