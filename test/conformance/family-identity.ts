/**
 * Cached is recomputed, for a model of a family on one way to run it: its own rows of logits, recomputed, cached and in
 * pieces, against those that another way recomputes at every length.
 */
import { firstDifferentBits } from "../../src/client/comparison.js";
import type { KernelsName } from "../../src/kernels/kernels.js";
import { BLOCK_SIZE } from "../../src/kernels/kv-layout.js";
import { KV_DTYPES, type KvDtype } from "../../src/kernels/kv-types.js";
import { CONVERTED_DTYPES, type ConvertedDtype } from "../../src/kernels/weight-types.js";
import { folderFiles } from "../../src/platform/disk-files.js";
import { type AssembledModel, assembleFolder } from "../assembled-model.js";
import { FedSequence } from "../fed-sequence.js";
import {
  arbitraryTokens,
  type FamilyName,
  familyFolder,
  familyNames,
  modelFolders,
} from "../fixture-models.js";

/** Every way to run a model: the same bits. */
const WAYS = [
  { kernels: "wasm", threads: 1 },
  { kernels: "wasm", threads: 2 },
  { kernels: "wasm", threads: 3 },
  { kernels: "reference", threads: 1 },
] as const satisfies readonly { kernels: KernelsName; threads: number }[];

/** A model of each family, and one whose table of rotations depends on the context that is asked for. */
const MODELS = ["gpt2", ...familyNames, "phi3-longrope, the long table"] as const;

/** What a case is made of: pairs of these in each run of the tests, all in the soak. */
export const DIMENSIONS = { model: MODELS, way: WAYS, dtype: CONVERTED_DTYPES, kvDtype: KV_DTYPES };

export interface IdentityCase {
  readonly model: (typeof MODELS)[number];
  readonly way: (typeof WAYS)[number];
  readonly dtype: ConvertedDtype;
  readonly kvDtype: KvDtype;
}

const MOST_TOKENS = 3 * BLOCK_SIZE + 4;
/** Lengths of prompts: one, and one below, at and one above the end of each block. */
const PROMPTS = [1, 15, 16, 17, 31, 32, 33, 47, 48, 49];

function assembled({ model, way, dtype, kvDtype }: IdentityCase): Promise<AssembledModel> {
  const isLong = model === "phi3-longrope, the long table";
  const name: FamilyName | "gpt2" = isLong ? "phi3-longrope" : model;
  const folder = name === "gpt2" ? modelFolders.odd : familyFolder(name);
  const options = { ...way, dtype, kvDtype, numBlocks: 16, ...(isLong && { contextLength: 128 }) };
  return assembleFolder(folderFiles(name, folder), options);
}

/** Rows after each of the tokens, recomputed from the start each time; by model and types. */
const truths = new Map<string, Promise<readonly Float32Array[]>>();

function truthOf(of: IdentityCase): Promise<readonly Float32Array[]> {
  const key = JSON.stringify([of.model, of.dtype, of.kvDtype]);
  const known = truths.get(key) ?? recomputed(of);
  truths.set(key, known);
  return known;
}

async function recomputed(of: IdentityCase): Promise<Float32Array[]> {
  const { core } = await assembled({ ...of, way: WAYS[0] });
  const tokens = tokensOf(core);
  const sequence = new FedSequence(core);
  const rows = tokens.map((_, i) => {
    sequence.forget();
    return sequence.logitsAfter(tokens.slice(0, i + 1));
  });
  await core.kernels.dispose();
  return rows;
}

function tokensOf({ model }: AssembledModel["core"]): number[] {
  const { contextLength, vocabSize } = model.spec;
  return arbitraryTokens(Math.min(MOST_TOKENS, contextLength), vocabSize);
}

/** @throws Error saying what differs first */
export async function expectIdentity(of: IdentityCase): Promise<void> {
  const truth = await truthOf(of);
  const { core } = await assembled(of);
  const tokens = tokensOf(core);
  const prompts = PROMPTS.filter((length) => length < tokens.length);
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
    let length = 0;
    for (const row of sequence.allLogits(tokens)) {
      length += 1;
      compare(row, length, "all at once");
    }
    for (const piece of [2, 7, 16, 19]) {
      sequence.forget();
      for (let from = 0; from < tokens.length; from += piece) {
        const end = Math.min(from + piece, tokens.length);
        compare(sequence.logitsAfter(tokens.slice(0, end)), end, `in pieces of ${piece}`);
      }
    }
    sequence.dispose();
  } finally {
    await core.kernels.dispose();
  }
}
