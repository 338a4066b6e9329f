/** Requests worth watching: what the view offers to begin with. */
import type { CacheBatch } from "./requests.ts";

export interface Scenario extends CacheBatch {
  readonly name: "share" | "fork" | "preempt";
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
