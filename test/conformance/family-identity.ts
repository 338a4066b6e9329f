/**
 * Cached is recomputed, for a model of a family on one way to run it: its own rows of logits, recomputed, cached and in
 * pieces, against those that another way recomputes at every length.
 */
import { createHash } from "node:crypto";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { BLOCK_SIZE } from "../../src/kernels/kv-layout.js";
import { KV_DTYPES, type KvDtype } from "../../src/kernels/kv-types.js";
import { CONVERTED_DTYPES } from "../../src/kernels/weight-types.js";
import type { AskedDtype } from "../../src/model/weight-dtypes.js";
import { platform } from "../../src/platform/node.js";
import { type AssembledModel, type AssembledOptions, assembleFiles } from "../assembled-model.js";
import { FedSequence } from "../fed-sequence.js";
import {
  arbitraryTokens,
  familyFolder,
  familyNames,
  type GgufName,
  ggufNames,
  ggufPath,
  modelFolders,
} from "../fixture-models.js";
import { WAYS } from "./ways.js";

/** A model of each family, and one whose table of rotations depends on the context that is asked for. */
const MODELS = ["gpt2", ...familyNames, "phi3-longrope, the long table"] as const;

/** What a case is made of: pairs of these in each run of the tests, all in the soak. */
export const DIMENSIONS = { model: MODELS, way: WAYS, dtype: CONVERTED_DTYPES, kvDtype: KV_DTYPES };

/** The same of files with quantised weights, kept as they are: one file of each type, and of each mixture. */
const QUANTISED = [
  ...(["llama-q8_0", "llama-q4_0", "llama-q4_1", "llama-q5_0", "llama-iq4_nl", "llama-q4_k_m"] as const),
  ...(["llama-q5_k", "llama-rope3-q8_0", "qwen2-q8_0", "qwen3-q4_0", "gemma3-q8_0"] as const),
] satisfies readonly GgufName[];

export const GGUF_DIMENSIONS = { model: QUANTISED, way: WAYS, dtype: ["auto"], kvDtype: KV_DTYPES } as const;

export interface IdentityCase {
  readonly model: (typeof MODELS)[number] | GgufName;
  readonly way: Pick<AssembledOptions, "kernels" | "threads" | "instructions">;
  readonly dtype: AskedDtype;
  readonly kvDtype: KvDtype;
}

const MOST_TOKENS = 3 * BLOCK_SIZE + 4;
/** Lengths of prompts: one, and one below, at and one above the end of each block. */
const PROMPTS = [1, 15, 16, 17, 31, 32, 33, 47, 48, 49];
/** How thoroughly a case is tried. */
interface IdentityEffort {
  readonly prompts: readonly number[];
  /** Tokens of the pieces that all of it is fed in. */
  readonly pieces: readonly number[];
  /** Whether the rows that all others are held against are recomputed for each of them, or come of one pass. */
  readonly isEachRecomputed: boolean;
}

const ALL: IdentityEffort = { prompts: PROMPTS, pieces: [2, 7, 16, 19], isEachRecomputed: true };
/** Some prompts, each at another place of its block; each is recomputed in any case. */
export const QUICK: IdentityEffort = { prompts: [1, 16, 47], pieces: [7, 19], isEachRecomputed: false };

async function assembled({ model, way, dtype, kvDtype }: IdentityCase): Promise<AssembledModel> {
  const isLong = model === "phi3-longrope, the long table";
  const options = { ...way, dtype, kvDtype, numBlocks: 16, ...(isLong && { contextLength: 128 }) };
  return assembleFiles(
    await platform.openModel(isLong ? familyFolder("phi3-longrope") : pathOf(model), {}),
    options,
  );
}

function pathOf(model: Exclude<IdentityCase["model"], "phi3-longrope, the long table">): string {
  if (model === "gpt2") return modelFolders.odd;
  return isGguf(model) ? ggufPath(model) : familyFolder(model);
}

function isGguf(model: string): model is GgufName {
  return ggufNames.some((name) => name === model);
}

/** Rows after each of the tokens, by model, types and whether each is recomputed from the start. */
const truths = new Map<string, Promise<readonly Float32Array[]>>();

function truthOf(of: IdentityCase, isEachRecomputed: boolean): Promise<readonly Float32Array[]> {
  const key = JSON.stringify([of.model, of.dtype, of.kvDtype, isEachRecomputed]);
  const known = truths.get(key) ?? computed(of, isEachRecomputed);
  truths.set(key, known);
  return known;
}

async function computed(of: IdentityCase, isEachRecomputed: boolean): Promise<Float32Array[]> {
  const { core } = await assembled({ ...of, way: WAYS[0] });
  const tokens = tokensOf(core);
  const sequence = new FedSequence(core);
  const rows = isEachRecomputed
    ? tokens.map((_, i) => {
        sequence.forget();
        return sequence.logitsAfter(tokens.slice(0, i + 1));
      })
    : [...sequence.allLogits(tokens)];
  await core.kernels.dispose();
  return rows;
}

function tokensOf({ model }: AssembledModel["core"]): number[] {
  const { contextLength, vocabSize } = model.spec;
  return arbitraryTokens(Math.min(MOST_TOKENS, contextLength), vocabSize);
}

/**
 * @returns a digest of this way's own rows of logits, after each token
 * @throws Error saying what differs first
 */
export async function expectIdentity(
  of: IdentityCase,
  { prompts: lengths, pieces, isEachRecomputed }: IdentityEffort = ALL,
): Promise<string> {
  const truth = await truthOf(of, isEachRecomputed);
  const { core } = await assembled(of);
  const tokens = tokensOf(core);
  const prompts = lengths.filter((length) => length < tokens.length);
  const compare = (row: Float32Array, length: number, how: string) => {
    const index = firstDifferentBits(truth[length - 1], row);
    if (index !== null) throw new Error(`logit ${index} after ${length} tokens, ${how}, differs`);
  };
  try {
    const sequence = new FedSequence(core);
    for (const length of prompts) {
      sequence.forget();
      compare(sequence.logitsAfter(tokens.slice(0, length)), length, "recomputed");
      // To the end of the next block at least, so that every row of a block is decoded behind prompts of each kind.
      const end = Math.min(tokens.length, length + BLOCK_SIZE + 1);
      for (let l = length + 1; l <= end; l++) {
        compare(sequence.logitsAfter(tokens.slice(0, l)), l, `cached from ${length} on`);
      }
    }
    sequence.forget();
    const rows = [...sequence.allLogits(tokens)];
    rows.forEach((row, i) => {
      compare(row, i + 1, "all at once");
    });
    for (const piece of pieces) {
      sequence.forget();
      for (let from = 0; from < tokens.length; from += piece) {
        const end = Math.min(from + piece, tokens.length);
        compare(sequence.logitsAfter(tokens.slice(0, end)), end, `in pieces of ${piece}`);
      }
    }
    sequence.dispose();
    return digestOf(rows);
  } finally {
    await core.kernels.dispose();
  }
}

/** SHA-256 of rows of logits, as little-endian f32. */
export function digestOf(rows: readonly Float32Array[]): string {
  const digest = createHash("sha256");
  for (const { buffer, byteOffset, byteLength } of rows)
    digest.update(new Uint8Array(buffer, byteOffset, byteLength));
  return digest.digest("hex");
}
