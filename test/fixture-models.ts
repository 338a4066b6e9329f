/** The checkpoints of the tests, and the reference answers beside them. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { readSafetensorsHeader } from "../src/formats/safetensors.js";
import { folderFiles } from "../src/platform/disk-files.js";

const fixtures = fileURLToPath(new URL("./fixtures/", import.meta.url));

export const modelFolders = {
  /** Random weights, gelu_new, sizes that are multiples of 16. */
  tiny: `${fixtures}tiny`,
  /** Random weights, gelu, sizes that are multiples of nothing much. */
  odd: `${fixtures}odd`,
  /** The embedded model. */
  stories: fileURLToPath(new URL("../models/stories", import.meta.url)),
};

/** One or more of each family, all with random weights: fixtures/families/README.md. */
export const familyNames = [
  ...["llama", "llama-tied-bias", "llama-linear", "llama-rope3", "llama-yarn", "llama-dynamic"],
  ...[
    "mistral-window",
    "qwen2",
    "qwen2-window",
    "qwen3",
    "smollm3",
    "gemma2",
    "gemma3",
    "phi3",
    "phi3-longrope",
  ],
  ...["granite", "olmo2", "stablelm", "gpt-neox", "gpt-neox-serial", "gpt-neo"],
] as const;

export type FamilyName = (typeof familyNames)[number];

export function familyFolder(name: FamilyName): string {
  return `${fixtures}families/${name}`;
}

export type FixtureName = keyof typeof modelFolders;

/** A prompt, what Hugging Face transformers answers in float64, and how close the closest choice was. */
export interface GoldenCase {
  readonly name: string;
  readonly ids: readonly number[];
  /** (ids, vocabulary) */
  readonly logits: Float32Array;
  readonly greedy: readonly number[];
  /** Least distance between the two largest logits on the way of `greedy`. */
  readonly smallestGap: number;
  readonly prompt?: string;
  readonly greedyText?: string;
}

export function goldenCases(name: FixtureName): Promise<GoldenCase[]> {
  return casesIn(`${fixtures}${name}`);
}

export function familyCases(name: FamilyName): Promise<GoldenCase[]> {
  return casesIn(familyFolder(name));
}

/** Small GGUF files: fixtures/gguf/README.md. */
export const ggufNames = [
  ...["llama-f32", "llama-f16", "llama-bf16", "llama-q8_0", "llama-q4_0", "llama-q4_1", "llama-q5_0"],
  ...["llama-iq4_nl", "llama-q4_k_m", "llama-q5_k", "llama-rope3-q8_0"],
  ...["qwen2-q8_0", "qwen3-f16", "qwen3-q4_0", "gemma3-q8_0"],
] as const;

export type GgufName = (typeof ggufNames)[number];

export function ggufPath(name: GgufName): string {
  return `${fixtures}gguf/${name}.gguf`;
}

export function ggufCases(name: GgufName): Promise<GoldenCase[]> {
  return casesIn(`${fixtures}gguf`, `${name}.golden.json`, `${name}.logits.safetensors`);
}

async function casesIn(
  folder: string,
  cases = "golden.json",
  logits = "golden-logits.safetensors",
): Promise<GoldenCase[]> {
  const golden = JSON.parse(await readFile(`${folder}/${cases}`, "utf8"));
  const file = await folderFiles(folder, folder).open(logits);
  if (file === null) throw new Error(`${folder} has no ${logits}`);
  try {
    const { tensors } = await readSafetensorsHeader(file);
    const found: GoldenCase[] = [];
    for (const { logits: tensorName, ...rest } of golden.cases) {
      const entry = tensors.get(tensorName);
      if (entry === undefined) throw new Error(`no golden logits ${tensorName}`);
      const bytes = new Uint8Array(entry.end - entry.begin);
      await file.read(entry.begin, bytes);
      found.push({ name: tensorName, ...rest, logits: new Float32Array(bytes.buffer) });
    }
    return found;
  } finally {
    await file.close();
  }
}

/** Token ids that look like nothing in particular, the same ones each time. */
export function arbitraryTokens(length: number, vocabSize: number, seed = 1): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocabSize);
  });
}
