/** Random models in memory, for tests: of any configuration that GPT-2 has, small by default; of any family by its config. */
import type { RandomModelFile, RandomWeightOptions } from "../scripts/random-checkpoint.js";
import { planRandomFamilyModel, planRandomModel, type RandomModelOptions } from "../scripts/random-model.js";

/** The files of a random model, by name, for `memoryFiles`: 2 layers, 2 heads, width 8, context 32, 61 tokens. */
export function randomModelFiles(options: RandomModelOptions = {}): Record<string, Uint8Array> {
  const small = { layers: 2, heads: 2, embd: 8, context: 32, vocab: 61 };
  return inMemory(planRandomModel({ ...small, ...options }));
}

/** The files of a random model of the family that the config names. */
export function randomFamilyFiles(
  config: Record<string, unknown>,
  options: RandomWeightOptions = {},
): Record<string, Uint8Array> {
  return inMemory(planRandomFamilyModel(config, options));
}

function inMemory(files: readonly RandomModelFile[]): Record<string, Uint8Array> {
  return Object.fromEntries(files.map(({ name, size, pieces }) => [name, joined(size, pieces())]));
}

export function joined(size: number, pieces: Iterable<Uint8Array>): Uint8Array {
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}
