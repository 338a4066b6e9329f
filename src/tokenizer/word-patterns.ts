/**
 * How published tokenizers cut a text into words: the regular expressions that are run, and no others. They backtrack, and
 * no engine at hand bounds it, so a file's own are not; each of these finds its matches in time that grows linearly with a
 * text.
 */
const { raw } = String;

export const WORD_PATTERNS = {
  /** GPT-2: `encoder.py` of openai/gpt-2. */
  gpt2: raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  /** cl100k_base of openai/tiktoken; Llama 3, OLMo 2, Granite 4. */
  cl100k: raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  /** The same as tiktoken writes it today. */
  cl100kPossessive: raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`,
  /** With single digits: Qwen 2 and 3. */
  qwen2: raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  /** With marks among the letters: Qwen 3.5. */
  qwen35: raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  /** o200k_base of openai/tiktoken: Phi-4-mini. */
  o200k: raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  /** Without contractions, with single digits: Mistral Nemo. */
  nemo: raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  // Parts of several steps: digits by themselves, three by three, or at most three; a space, as Gemma's copies have it.
  digit: raw`\p{N}`,
  digits: raw`\p{N}+`,
  threeDigits: "[0-9][0-9][0-9]",
  upToThreeDigits: raw`\p{N}{1,3}`,
  space: " ",
  /** Falcon: punctuation, and the symbols of ASCII. */
  falconPunctuation: "[\\p{P}$+<=>^~|`]+",
  /** The same without the backtick. */
  punctuation: raw`[\p{P}$+<=>^~|]+`,
  // DeepSeek Coder: ends of lines, then letters, punctuation, Chinese and other scripts without spaces.
  lineEnd: raw`[\r\n]`,
  spacedLetters: raw`\s?\p{L}+`,
  spacedPunctuation: raw`\s?\p{P}+`,
  eastAsian: raw`[\u0800-\u9fa5\uac00-\ud7ff]+`,
} as const;
