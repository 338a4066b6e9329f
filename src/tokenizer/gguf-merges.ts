/**
 * The merges of a GGUF file's vocabulary, as ids: as they are written, or, of a SentencePiece vocabulary, which has none,
 * as its tokens and their scores imply them. Bounded: a file whose tokens are so long, or so much parts of one another, that
 * this would take long is refused.
 */
import type { GgufMetadata } from "../formats/gguf/gguf-metadata.js";
import { quoteValue } from "../quote-value.js";
import { expectLength, type GgufTokens, TOKEN_TYPES } from "./gguf-tokens.js";
import { invalid } from "./json-objects.js";
import type { MergeIds } from "./merge-table.js";
import { TokenHalves } from "./token-halves.js";

/** A space as SentencePiece writes it. */
export const SPACE = "▁";
/** Longest run of spaces that is looked for; Gemma's have up to 31. */
const MAX_RUN = 64;

/** Most characters and tokens that are looked at to find the halves of all tokens: many times what Gemma's need. */
const MAX_STEPS = 2 ** 28;
/** Most merges: of published vocabularies there are at most 2.2 a token; runs of spaces have half their length each. */
const mostMerges = (numTokens: number) => 65_536 + 8 * numTokens;

const KEY = "tokenizer.ggml.merges";

/** `tokenizer.ggml.merges`: each is two tokens with a space between; the second may have spaces of its own. */
export function writtenMerges(metadata: GgufMetadata, { ids }: GgufTokens): MergeIds {
  const { fileName } = metadata;
  const merges = metadata.texts(KEY);
  if (merges === null) throw invalid(fileName, `has no merges (${KEY})`);
  const [left, right, merged] = Array.from({ length: 3 }, () => new Int32Array(merges.length));
  for (let i = 0; i < merges.length; i++) {
    const halves = halvesOf(merges[i]);
    if (halves === null) {
      throw invalid(fileName, `has ${quoteValue(merges[i])} as merge ${i}, which must be two tokens`);
    }
    const id = (token: string) => {
      const found = ids.get(token);
      if (found !== undefined) return found;
      throw invalid(fileName, `merges ${quoteValue(token)} (merge ${i}), which is not one of its tokens`);
    };
    left[i] = id(halves[0]);
    right[i] = id(halves[1]);
    merged[i] = id(halves[0] + halves[1]);
  }
  return { left, right, merged };
}

/** Whether all merges are of tokens: a SentencePiece vocabulary that was converted from a `tokenizer.json` has its merges, too. */
export function hasMerges(metadata: GgufMetadata, { ids }: GgufTokens): boolean {
  return (
    metadata.texts(KEY)?.every((merge) => {
      const halves = halvesOf(merge);
      return halves !== null && [...halves, halves[0] + halves[1]].every((token) => ids.has(token));
    }) ?? false
  );
}

function halvesOf(merge: string): [left: string, right: string] | null {
  const space = merge.indexOf(" ", 1);
  if (space === -1 || space === merge.length - 1) return null;
  return [merge.slice(0, space), merge.slice(space + 1)];
}

/**
 * Every way to put a token together of two others, the best token first: by score, and of equal ones by id; the ways to one
 * token by the ids of its halves. `tokenizer.json` files of such vocabularies have been made so. Tokens that are found in a text
 * before it is cut are no parts of others, but for runs of spaces.
 * @param isGemma whether the ids alone tell which token is better, since its scores say otherwise than its merges, which have runs
 *   of spaces before all
 */
export function impliedMerges(metadata: GgufMetadata, tokens: GgufTokens, isGemma: boolean): MergeIds {
  const { fileName } = metadata;
  const { texts, types } = tokens;
  const most = mostMerges(texts.length);
  const merges: Record<keyof MergeIds, number[]> = { left: [], right: [], merged: [] };
  const add = (left: number, right: number, merged: number) => {
    merges.left.push(left);
    merges.right.push(right);
    merges.merged.push(merged);
  };
  if (isGemma) addRuns(tokens, add);
  let steps = 0;
  const halves = new TokenHalves(texts, partIds(tokens), (more) => {
    steps += more;
    if (steps > MAX_STEPS) throw invalid(fileName, "has tokens that are too long in all to be put together");
  });
  for (const id of bestFirst(metadata, texts.length, isGemma)) {
    if (types[id] !== TOKEN_TYPES.normal || (isGemma && isRun(texts[id]))) continue;
    const ways = halves.of(id);
    if (ways.length > 1) ways.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    for (const [left, right] of ways) add(left, right, id);
    if (merges.merged.length > most) throw invalid(fileName, `has tokens that make more than ${most} merges`);
  }
  return {
    left: new Int32Array(merges.left),
    right: new Int32Array(merges.right),
    merged: new Int32Array(merges.merged),
  };
}

/** Of runs of spaces, so that from the left the longest come out. */
function addRuns({ ids }: GgufTokens, add: (left: number, right: number, merged: number) => void): void {
  const runs: number[] = [];
  for (let length = 1; length <= MAX_RUN; length++) runs[length] = ids.get(SPACE.repeat(length)) ?? -1;
  for (let left = MAX_RUN - 1; left > 0; left--) {
    for (let right = MAX_RUN - left; right > 0; right--) {
      const [a, b, merged] = [runs[left], runs[right], runs[left + right]];
      if (a !== -1 && b !== -1 && merged !== -1) add(a, b, merged);
    }
  }
}

/** Tokens that others may be put together of. */
function partIds({ ids, types }: GgufTokens): number[] {
  const parts: number[] = [];
  for (const [text, id] of ids) {
    const isPart = types[id] === TOKEN_TYPES.normal || (types[id] === TOKEN_TYPES.userDefined && isRun(text));
    if (isPart) parts.push(id);
  }
  return parts;
}

function isRun(text: string): boolean {
  for (const character of text) if (character !== SPACE) return false;
  return true;
}

function bestFirst(metadata: GgufMetadata, numTokens: number, byId: boolean): Uint32Array {
  const order = new Uint32Array(numTokens);
  for (let id = 0; id < numTokens; id++) order[id] = id;
  const key = "tokenizer.ggml.scores";
  const scores = byId ? null : metadata.floats(key);
  if (scores === null) return order;
  expectLength(metadata, key, scores.length, numTokens);
  return order.sort((a, b) => scores[b] - scores[a] || a - b);
}
