/** Prompts: seeded random tokens, different for each round, so that no engine can reuse an earlier request. */

/** Of the smallest vocabulary among the models. */
const VOCAB = 49_152;

/** `length` token ids; the same for the same seed (mulberry32, by Tommy Ettinger). */
export function randomPrompt(length: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % (VOCAB - 1);
  });
}
