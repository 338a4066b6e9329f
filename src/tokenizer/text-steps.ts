/**
 * What `tokenizer.json` does to a text before it is cut into pieces: `normalizer` and `pre_tokenizer`. They are the
 * library's; here they are checked, so that no file makes it loop (a fixed length of 0), backtrack without end (a
 * regular expression of its own) or blow a text up (replacements of replacements), and so that what it is known to do
 * otherwise than Hugging Face's tokenizers is put right or refused.
 */
import { quoteValue } from "../formats/quote-value.js";
import { invalid, isObject, type JsonObject, type TokenizerFiles, unsupported } from "./tokenizer-files.js";

export interface TextSteps {
  readonly normalizer: JsonObject | null;
  readonly pre_tokenizer: JsonObject | null;
}

/** How much longer all replacements together may make a text. */
const MAX_GROWTH = 16;
/** Longest text, in UTF-16 units, that is put in or in front. */
const MAX_INSERTED = 16;
const MAX_STEPS = 64;

/**
 * Regular expressions backtrack, and no engine at hand bounds it; so only published ones are run. Each finds the words
 * of a text in time that grows linearly with it, and covers all of it.
 */
const WORD_PATTERNS: ReadonlySet<string> = new Set([
  // GPT-2: `encoder.py` of openai/gpt-2.
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  // cl100k_base of openai/tiktoken; Llama 3's tokenizer.json.
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  // The same with single digits: Qwen 2's tokenizer.json.
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
]);

const DIGIT = String.raw`\p{N}`;

/** Of the same kind, for replacing: they match at least one character. */
const REPLACED_PATTERNS: ReadonlySet<string> = new Set([" {2,}", String.raw`\s+`]);

/**
 * @returns both, as the library takes them
 * @throws LastrowError `tokenizer_invalid`, `model_unsupported`
 */
export function readTextSteps({ json, fileName }: TokenizerFiles): TextSteps {
  const reader = new StepReader(fileName);
  return {
    normalizer: reader.read(json.normalizer, "normalizer", "normalizers"),
    pre_tokenizer: reader.read(json.pre_tokenizer, "pre_tokenizer", "pretokenizers"),
  };
}

class StepReader {
  readonly #fileName: string;
  #steps = 0;
  #growth = 1;

  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  /** @param members the field that holds the steps of a sequence */
  read(step: unknown, kind: string, members: string): JsonObject | null {
    if (step === null || step === undefined) return null;
    if (!isObject(step) || typeof step.type !== "string") {
      throw invalid(
        this.#fileName,
        `has ${quoteValue(step)} as ${kind}, but that must be an object with a type`,
      );
    }
    this.#steps++;
    if (this.#steps > MAX_STEPS) throw invalid(this.#fileName, `has more than ${MAX_STEPS} steps for a text`);
    switch (step.type) {
      case "Sequence": {
        const listed = step[members];
        if (!Array.isArray(listed))
          throw invalid(this.#fileName, `has a ${kind} Sequence without ${members}`);
        return { type: "Sequence", [members]: listed.map((member) => this.read(member, kind, members)) };
      }
      case "Replace":
        return this.#replace(step, kind);
      case "Prepend":
        return { type: "Prepend", prepend: this.#inserted(step, "prepend") };
      case "Metaspace":
        return this.#metaspace(step);
      case "Split":
        return this.#split(step);
      case "Digits": {
        // The library's digits are ASCII.
        const pattern = { Regex: step.individual_digits === true ? DIGIT : `${DIGIT}+` };
        return { type: "Split", pattern, behavior: "Isolated", invert: false };
      }
      case "Punctuation":
        // The library keeps runs of punctuation together, whatever the file says.
        if (step.behavior === "Contiguous") return step;
        throw this.#unsupported("a Punctuation step that is not Contiguous");
      case "FixedLength":
      case "Whitespace":
        // The library cuts characters in two at the one; its words are ASCII at the other.
        throw this.#unsupported(`a ${step.type} step`);
      default:
        return step;
    }
  }

  #replace(step: JsonObject, kind: string): JsonObject {
    const pattern = this.#pattern(step, kind, REPLACED_PATTERNS);
    const content = this.#inserted(step, "content");
    this.#grow(content.length / ("String" in pattern ? pattern.String.length : 1));
    // The library replaces by JavaScript's rules, where `$` has a meaning.
    return { type: "Replace", pattern, content: content.replaceAll("$", "$$$$") };
  }

  #split(step: JsonObject): JsonObject {
    const pattern = this.#pattern(step, "Split", WORD_PATTERNS);
    const { behavior } = step;
    const invert = step.invert === true;
    const isRegex = "Regex" in pattern;
    // Of the other combinations the library keeps or drops what it should not.
    if ((behavior === "Isolated" && (isRegex || !invert)) || (behavior === "Removed" && isRegex && invert)) {
      return { type: "Split", pattern, behavior, invert };
    }
    throw this.#unsupported(`a Split step with behavior ${quoteValue(behavior)}`);
  }

  #metaspace(step: JsonObject): JsonObject {
    const { replacement = "▁", prepend_scheme = step.add_prefix_space === false ? "never" : "always" } = step;
    if (typeof replacement !== "string" || [...replacement].length !== 1) {
      throw invalid(this.#fileName, `has ${quoteValue(replacement)} as replacement of Metaspace`);
    }
    return { type: "Metaspace", replacement, prepend_scheme };
  }

  #pattern(
    step: JsonObject,
    kind: string,
    known: ReadonlySet<string>,
  ): { String: string } | { Regex: string } {
    const { pattern } = step;
    if (isObject(pattern) && typeof pattern.String === "string" && pattern.String !== "") {
      return { String: pattern.String };
    }
    if (isObject(pattern) && typeof pattern.Regex === "string") {
      if (known.has(pattern.Regex)) return { Regex: pattern.Regex };
      throw this.#unsupported(`the regular expression ${quoteValue(pattern.Regex)} in a ${kind} step`);
    }
    throw invalid(this.#fileName, `has a ${kind} step without a pattern`);
  }

  #inserted(step: JsonObject, field: string): string {
    const value = step[field];
    if (typeof value === "string" && value.length <= MAX_INSERTED) return value;
    throw invalid(
      this.#fileName,
      `has ${quoteValue(value)} as ${field} of ${quoteValue(step.type)}, but that must be a text of at most ${MAX_INSERTED} characters`,
    );
  }

  #grow(factor: number): void {
    this.#growth *= Math.max(1, factor);
    if (this.#growth > MAX_GROWTH) {
      throw invalid(
        this.#fileName,
        `has replacements that could make a text over ${MAX_GROWTH} times as long`,
      );
    }
  }

  #unsupported(what: string) {
    return unsupported(this.#fileName, `asks for ${what}, which is not supported`);
  }
}
