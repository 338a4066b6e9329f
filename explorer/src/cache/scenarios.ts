/** Requests worth watching: what the view offers to begin with, for the model that it has. */
import type { LanguageModel } from "lastrow";
import { promptTokens } from "../model/prompt.ts";
import type { CacheBatch } from "./requests.ts";

export interface Scenario extends CacheBatch {
  readonly name: "share" | "fork" | "preempt" | "window";
  /** Blocks of the cache, of all groups of layers together. */
  readonly blocks: number;
}

const BEGINNING =
  "Once upon a time, there was a little girl named Lily. She lived in a small house near the woods with her mom and her dog. One sunny day, ";

const ENDINGS = [
  "Lily went to the park and found a red ball.",
  "Lily went to the park and saw a big bird.",
  "her mom made a cake for the whole family.",
  "the dog ran away and did not come back.",
  "it began to rain, and Lily was very sad.",
  "a little boy named Tim came to play with her.",
];

const prompts = (count: number) => ENDINGS.slice(0, count).map((ending) => BEGINNING + ending);

export const SCENARIOS: readonly Scenario[] = [
  { name: "share", prompts: prompts(4), forks: 1, maxTokens: 40, blocks: 48 },
  { name: "fork", prompts: prompts(1), forks: 5, maxTokens: 40, blocks: 48 },
  { name: "preempt", prompts: prompts(6), forks: 1, maxTokens: 90, blocks: 24 },
];

/** The scenarios as a model can have them: of ids where it has no tokenizer, and one of its windows where it has any. */
export function scenariosOf(lm: LanguageModel): readonly Scenario[] {
  const groups = groupsOf(lm);
  const beginning = wordsThatFit(lm, BEGINNING.trim(), Math.floor(lm.info.contextLength / 2));
  const scenarios = SCENARIOS.map((scenario) => ({
    ...scenario,
    prompts: scenario.prompts.map((_, i) =>
      lm.tokenizer === null ? idPrompt(lm, i) : `${beginning} ${ENDINGS[i]}`,
    ),
    blocks: groups * scenario.blocks,
  }));
  const window = windowScenario(lm);
  return window === null ? scenarios : [...scenarios, window];
}

/** The first words of a text, up to so many tokens. */
function wordsThatFit(lm: LanguageModel, text: string, most: number): string {
  const words = text.split(" ");
  if (lm.tokenizer === null) return text;
  while (words.length > 1 && promptTokens(lm, words.join(" ")).length > most) words.pop();
  return words.join(" ");
}

/** Groups of layers of a model, each with blocks of its own. */
export function groupsOf(lm: LanguageModel | null): number {
  return lm?.info.kv.kinds.reduce((sum, { groups }) => sum + groups, 0) ?? 1;
}

/** Ids that begin alike and end otherwise. */
function idPrompt({ info }: LanguageModel, number: number): string {
  const { vocabSize } = info.config;
  const ids = Array.from({ length: 48 }, (_, i) => (7 * i + (i < 40 ? 3 : 13 * (number + 1))) % vocabSize);
  return ids.join(" ");
}

/** Tokens behind the prompt, and at least so many of the prompt behind the widest window. */
const AFTER_WINDOW = 40;

/** One text that goes on behind the widest window; null where the context ends before. */
function windowScenario(lm: LanguageModel): Scenario | null {
  const { kv, contextLength } = lm.info;
  const widest = Math.max(0, ...kv.kinds.map(({ window }) => window ?? 0));
  const length = widest + AFTER_WINDOW;
  if (widest === 0 || length + AFTER_WINDOW > contextLength) return null;
  const prompt = lm.tokenizer === null ? idsOf(lm, length) : textOf(lm, length);
  const tokens = promptTokens(lm, prompt).length;
  if (tokens + AFTER_WINDOW > contextLength) return null;
  const blocks = groupsOf(lm) * Math.ceil((tokens + AFTER_WINDOW) / kv.blockSize);
  return { name: "window", prompts: [prompt], forks: 1, maxTokens: AFTER_WINDOW, blocks };
}

function idsOf({ info }: LanguageModel, length: number): string {
  return Array.from({ length }, (_, i) => (11 * i + 5) % info.config.vocabSize).join(" ");
}

/** A story of at least so many tokens, word by word. */
function textOf(lm: LanguageModel, length: number): string {
  const words = `${BEGINNING}${ENDINGS.join(" Then ")} Then `.split(" ");
  const story = (count: number) => Array.from({ length: count }, (_, i) => words[i % words.length]).join(" ");
  let count = Math.ceil(length / 8);
  while (promptTokens(lm, story(count)).length < length) count += Math.ceil(length / 64);
  return story(count);
}
