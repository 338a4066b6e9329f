/**
 * How well documents answer a query, as Qwen3-Reranker (Zhang et al., arXiv:2506.05176) rates them: the model is asked whether a
 * document meets the query, in its authors' own words, and the score is how likely its answer is "yes" rather than "no".
 */
import { invalidArgument, LastrowError, modelUnsupported } from "../errors.js";
import { exp } from "../numerics/math.js";
import { checkOptions, shown, wholeNumber } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import {
  type KnownModel,
  READOUT_OPTIONS,
  type ReadModel,
  type ReadoutOptions,
  readAll,
  withPlace,
} from "./embed.js";

/** How documents are rated. */
export interface RankOptions extends Omit<ReadoutOptions, "parseSpecial"> {
  /** What makes a document a good one. Default: that it helps to answer a web search. */
  readonly instruction?: string | undefined;
  /** So many of the best, from 1. Default: all. */
  readonly topN?: number | undefined;
}

/** Documents by how well they answer. */
export interface RankResult {
  /** The best first; equal ones in the order in which they were given. */
  readonly results: readonly RankedDocument[];
  /** Tokens of all prompts, one for each document. */
  readonly promptTokens: number;
  /** Those of them whose K and V were there already: all prompts begin alike. */
  readonly numCachedTokens: number;
}

/** One of the documents, rated. */
export interface RankedDocument {
  /** Its place among the documents. */
  readonly index: number;
  /** From 0 to 1. */
  readonly score: number;
}

const { parseSpecial: _, ...SHARED_OPTIONS } = READOUT_OPTIONS;
const RANK_OPTIONS = optionNames<RankOptions>()("rank", {
  ...{ ...SHARED_OPTIONS, instruction: true, topN: true },
});

const BEFORE =
  '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n';
const BEHIND = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
const INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query";
const NAMED = /qwen3[-_ ]?reranker/i;

/** What a prompt has between what is the same in all: plain text, whatever it looks like. */
export function ratedText(query: string, document: string, instruction = INSTRUCTION): string {
  return `<Instruct>: ${instruction}\n<Query>: ${query}\n<Document>: ${document}`;
}

/** Tokens around such texts, and those of the answers. */
export interface Ranker {
  readonly before: readonly number[];
  readonly behind: readonly number[];
  readonly yes: number;
  readonly no: number;
}

/**
 * @param name what messages call it
 * @throws LastrowError `model_unsupported` for a model that was not made for this, or whose tokenizer is another than its
 *   authors'; `tokenizer_missing`
 */
export function rankerOf(info: KnownModel, tokenizer: Tokenizer | null, name = info.label): Ranker {
  const { label, embedding, metadata, config } = info;
  const { ranking } = embedding;
  const stated = metadata.find(({ key }) => key === "general.name")?.value;
  const isNamed = NAMED.test(label) || (typeof stated === "string" && NAMED.test(stated));
  if (config.modelType !== "qwen3" || (ranking === null && !isNamed)) {
    throw modelUnsupported(
      `${name} is not a Qwen3-Reranker, by its files or by its name; other models rate documents in other ways, which are not run.`,
    );
  }
  if (tokenizer === null) {
    throw new LastrowError("tokenizer_missing", `${name} has no tokenizer, which rating documents needs.`);
  }
  const idsOf = (text: string) => tokenizer.encode(text, { parseSpecial: true, addSpecialTokens: false });
  const [before, behind, yes, no] = [idsOf(BEFORE), idsOf(BEHIND), idsOf("yes"), idsOf("no")];
  const isOther =
    !tokenizer.isSpecial(before[0]!) ||
    !tokenizer.isSpecial(behind[0]!) ||
    yes.length !== 1 ||
    no.length !== 1 ||
    (ranking !== null && ranking.yes !== null && (ranking.yes !== yes[0] || ranking.no !== no[0]));
  if (!isOther) return { before, behind, yes: yes[0]!, no: no[0]! };
  throw modelUnsupported(
    `${name} does not answer with the tokens "yes" and "no", or has no tokens for the turns of a chat, as Qwen3-Reranker has; it is not run as a reranker.`,
  );
}

/** See `LanguageModel.rank`. */
export async function rankDocuments(
  model: ReadModel,
  tokenizer: Tokenizer | null,
  query: string,
  documents: readonly string[],
  options: RankOptions,
): Promise<RankResult> {
  checkOptions(options, RANK_OPTIONS);
  const { instruction, topN } = options;
  for (const [name, value] of Object.entries({ query, instruction })) {
    if (typeof value === "string" || (name === "instruction" && value === undefined)) continue;
    throw invalidArgument(`${name} is a text, not ${shown(value)}.`);
  }
  if (!Array.isArray(documents) || documents.some((document) => typeof document !== "string")) {
    throw invalidArgument(`rank takes a query and a list of texts, not ${shown(documents)}.`);
  }
  const ranker = rankerOf(model.info, tokenizer);
  const inner = documents.map((document) =>
    tokenizer!.encode(ratedText(query, document, instruction), { addSpecialTokens: false }),
  );
  return rankTokens(model, ranker, inner, { ...options, topN });
}

/** The same for documents that are token ids already, with the query and the instruction. */
export async function rankTokens(
  model: ReadModel,
  { before, behind, yes, no }: Ranker,
  texts: readonly (readonly number[])[],
  { topN, ...options }: RankOptions,
): Promise<RankResult> {
  const most = wholeNumber("topN", topN, texts.length, { from: 1, to: Number.MAX_SAFE_INTEGER });
  const prompts = texts.map((ids, i) =>
    withPlace(`Document ${i}`, texts.length, () => model.promptIds([...before, ...ids, ...behind], {})),
  );
  const outcomes = await readAll(model, prompts, { kind: "logits", tokens: [yes, no] }, options);
  const results = outcomes.map(({ vector: [ofYes, ofNo] }, index) => ({
    index,
    score: 1 / (1 + exp(Math.fround(ofNo! - ofYes!))),
  }));
  return {
    results: results.sort((a, b) => b.score - a.score).slice(0, most),
    promptTokens: prompts.reduce((sum, { length }) => sum + length, 0),
    numCachedTokens: outcomes.reduce((sum, { numCachedTokens }) => sum + numCachedTokens, 0),
  };
}
