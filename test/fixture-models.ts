/** The checkpoints of the tests, and the reference answers beside them. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { readSafetensorsHeader } from "../src/formats/safetensors.js";
import { folderFiles } from "../src/platform/node.js";

const fixtures = fileURLToPath(new URL("./fixtures/", import.meta.url));

export const modelFolders = {
  /** Random weights, gelu_new, sizes that are multiples of 16. */
  tiny: `${fixtures}tiny`,
  /** Random weights, gelu, sizes that are multiples of nothing much. */
  odd: `${fixtures}odd`,
  /** The embedded model. */
  stories: fileURLToPath(new URL("../models/stories", import.meta.url)),
};

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

export async function goldenCases(name: FixtureName): Promise<GoldenCase[]> {
  const folder = `${fixtures}${name}`;
  const golden = JSON.parse(await readFile(`${folder}/golden.json`, "utf8"));
  const file = await folderFiles(name, folder).open("golden-logits.safetensors");
  if (file === null) throw new Error(`${folder} has no golden logits`);
  try {
    const { tensors } = await readSafetensorsHeader(file);
    const cases: GoldenCase[] = [];
    for (const { logits: tensorName, ...rest } of golden.cases) {
      const entry = tensors.get(tensorName);
      if (entry === undefined) throw new Error(`no golden logits ${tensorName}`);
      const bytes = new Uint8Array(entry.end - entry.begin);
      await file.read(entry.begin, bytes);
      cases.push({ name: tensorName, ...rest, logits: new Float32Array(bytes.buffer) });
    }
    return cases;
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
