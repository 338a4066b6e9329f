/**
 * What changes single scores before temperature and filters: logit bias and the penalties on tokens already seen.
 *
 * Each works in place on the scores (V) of one row and rounds every operation to f32, parameters included, as torch
 * does. Token ids are trusted to be inside the vocabulary.
 */

/** scores[t] += bias for each given token; −Infinity forbids one. */
export function addLogitBias(scores: Float32Array, bias: ReadonlyMap<number, number>): void {
  for (const [token, value] of bias) scores[token] = scores[token]! + Math.fround(value);
}

/**
 * The repetition penalty of Keskar and others, "CTRL" (2019), eq. 5, in Hugging Face's form: the score of every token
 * of prompt and generated text is divided by the penalty when it is positive and multiplied by it when it is negative,
 * once, however often the token occurs.
 * @param scores (V)
 * @param penalty above 0; 1 changes nothing
 * @param seen (V) all zero, and so again afterwards
 */
export function applyRepetitionPenalty(
  scores: Float32Array,
  penalty: number,
  history: { readonly prompt: readonly number[]; readonly generated: readonly number[] },
  seen: Int32Array,
): void {
  const factor = Math.fround(penalty);
  for (const tokens of [history.prompt, history.generated]) {
    for (const token of tokens) {
      if (seen[token] !== 0) continue;
      seen[token] = 1;
      const score = scores[token]!;
      scores[token] = score < 0 ? score * factor : score / factor;
    }
  }
  for (const tokens of [history.prompt, history.generated]) for (const token of tokens) seen[token] = 0;
}

/**
 * OpenAI's frequency and presence penalties: score −= count · frequency, then score −= presence, for every token that
 * occurs among the generated ones. The prompt does not count.
 * @param scores (V)
 * @param counts (V) all zero, and so again afterwards
 */
export function applyCountPenalties(
  scores: Float32Array,
  penalties: { readonly frequencyPenalty: number; readonly presencePenalty: number },
  generated: readonly number[],
  counts: Int32Array,
): void {
  const frequency = Math.fround(penalties.frequencyPenalty);
  const presence = Math.fround(penalties.presencePenalty);
  for (const token of generated) counts[token] = counts[token]! + 1;
  for (const token of generated) {
    const count = counts[token]!;
    if (count === 0) continue;
    counts[token] = 0;
    scores[token] = scores[token]! - Math.fround(count * frequency);
    scores[token] = scores[token]! - presence;
  }
}
