/**
 * What `tokenizer.json` does to a text before it is cut into pieces: `normalizer` and `pre_tokenizer`. Checked here, so
 * that no file makes it loop (a fixed length of 0), backtrack without end (a regular expression of its own) or blow a
 * text up (replacements of replacements), and so that what is done otherwise than in Hugging Face's tokenizers is refused.
 */
import { quoteValue } from "../quote-value.js";
import { invalid, isObject, type JsonFile, type JsonObject, unsupported } from "./json-objects.js";
import { PrecompiledNormalizer, SplitPreTokenizer } from "./library.js";
import { bertNormalizer, lowercase, type Normalize, strip, stripAccents } from "./normalizers.js";
import {
  bertWords,
  byteLevel,
  type Cut,
  metaspace,
  NUMERIC,
  PUNCTUATION,
  whitespaceSplit,
} from "./pre-tokenizers.js";
import { SPLIT_BEHAVIORS, type SplitBehavior, splitAt } from "./split.js";
import { WORD_PATTERNS } from "./word-patterns.js";

export interface TextSteps {
  /** Null: the text stays as it is. */
  readonly normalize: Normalize | null;
  readonly cut: Cut;
}

/**
 * How much longer all steps together may make a text, in UTF-16 units of its NFKD form: that form is at most 18 times as
 * long as the text, and no Unicode normalisation between the steps changes its length. So each step's own factor counts,
 * one times the other, and normalisation does not.
 */
const MAX_GROWTH = 16;
/** Longest text, in UTF-16 units, that is put in or in front. */
const MAX_INSERTED = 16;
const MAX_STEPS = 64;

const KNOWN_WORD_PATTERNS: ReadonlySet<string> = new Set(Object.values(WORD_PATTERNS));

/** Of the same kind (`WORD_PATTERNS`), for replacing: they match at least one character. */
const REPLACED_PATTERNS: ReadonlyMap<string, RegExp> = new Map([
  [" {2,}", / {2,}/gu],
  [String.raw`\s+`, /\p{White_Space}+/gu],
]);

/**
 * @param options `prepends`: whether steps put something in front of a text; default: where they say so
 * @throws LastrowError `tokenizer_invalid`, `model_unsupported`
 */
export function readTextSteps({ json, fileName }: JsonFile, { prepends = true } = {}): TextSteps {
  const reader = new StepReader(fileName, prepends);
  const normalizers = reader.flatten(json.normalizer, "normalizer", "normalizers");
  const cuts = reader.flatten(json.pre_tokenizer, "pre_tokenizer", "pretokenizers");
  return {
    normalize: normalizers.length === 0 ? null : inTurn(normalizers.map((step) => reader.normalizer(step))),
    cut: cutInTurn(cuts.map((step) => reader.preTokenizer(step))),
  };
}

function inTurn(steps: readonly Normalize[]): Normalize {
  return (text) => steps.reduce((normal, step) => step(normal), text);
}

function cutInTurn(steps: readonly Cut[]): Cut {
  return (text, isStart) =>
    steps.reduce<readonly string[]>(
      (pieces, step) => pieces.flatMap((piece, i) => step(piece, isStart && i === 0)),
      [text],
    );
}

class StepReader {
  readonly #fileName: string;
  readonly #prepends: boolean;
  #steps = 0;
  #growth = 1;

  constructor(fileName: string, prepends: boolean) {
    this.#fileName = fileName;
    this.#prepends = prepends;
  }

  /** The steps of a normalizer or pre-tokenizer, sequences within it opened. @param members where a sequence has its steps */
  flatten(step: unknown, kind: string, members: string): JsonObject[] {
    if (step === null || step === undefined) return [];
    if (!isObject(step) || typeof step.type !== "string") {
      throw invalid(
        this.#fileName,
        `has ${quoteValue(step)} as ${kind}, but that must be an object with a type`,
      );
    }
    this.#steps++;
    if (this.#steps > MAX_STEPS) throw invalid(this.#fileName, `has more than ${MAX_STEPS} steps for a text`);
    if (step.type !== "Sequence") return [step];
    const listed = step[members];
    if (!Array.isArray(listed)) throw invalid(this.#fileName, `has a ${kind} Sequence without ${members}`);
    return listed.flatMap((member: unknown) => this.flatten(member, kind, members));
  }

  normalizer(step: JsonObject): Normalize {
    switch (step.type) {
      case "NFC":
      case "NFD":
      case "NFKC":
      case "NFKD": {
        const form = step.type;
        return (text) => text.normalize(form);
      }
      case "Lowercase":
        return lowercase;
      case "StripAccents":
        return stripAccents;
      case "Strip":
        return strip(this.#flag(step, "strip_left", false), this.#flag(step, "strip_right", false));
      case "Replace":
        return this.#replace(step);
      case "Prepend": {
        const prepended = this.#inserted(step, "prepend");
        // A text of one character has it in front, too.
        this.#grow(1 + normalLength(prepended));
        return this.#prepends ? (text) => prepended + text : (text) => text;
      }
      case "BertNormalizer":
        this.#grow(3);
        return bertNormalizer({
          cleanText: this.#flag(step, "clean_text", true),
          handleChineseChars: this.#flag(step, "handle_chinese_chars", true),
          stripAccents: this.#flag(step, "strip_accents", null),
          lowercase: this.#flag(step, "lowercase", true),
        });
      case "Precompiled": {
        const precompiled = new PrecompiledNormalizer({ type: "Precompiled", precompiled_charsmap: "" });
        return (text) => precompiled.normalize(text);
      }
      default:
        throw this.#unknown(step, "normalizer");
    }
  }

  preTokenizer(step: JsonObject): Cut {
    switch (step.type) {
      case "ByteLevel": {
        const addPrefixSpace = this.#flag(step, "add_prefix_space", false);
        this.#grow(addPrefixSpace ? 4 : 3);
        return byteLevel(addPrefixSpace && this.#prepends, this.#flag(step, "use_regex", true));
      }
      case "Metaspace":
        return this.#metaspace(step);
      case "Split":
        return this.#split(step);
      case "Digits": {
        const behavior = this.#flag(step, "individual_digits", false) ? "Isolated" : "Contiguous";
        return splitAt(NUMERIC, behavior, false);
      }
      case "WhitespaceSplit":
        return whitespaceSplit;
      case "BertPreTokenizer":
        return bertWords;
      case "Punctuation":
        return splitAt(PUNCTUATION, this.#behavior(step, "Isolated"), false);
      case "FixedLength":
      case "Whitespace":
        throw this.#unsupported(`a ${step.type} step`);
      default:
        throw this.#unknown(step, "pre_tokenizer");
    }
  }

  #replace(step: JsonObject): Normalize {
    const pattern = this.#pattern(step, "normalizer", REPLACED_PATTERNS);
    const content = this.#inserted(step, "content");
    const isText = "String" in pattern;
    const shortest = isText ? Math.min(pattern.String.length, normalLength(pattern.String)) : 1;
    this.#grow(normalLength(content) / shortest);
    const replaced = isText ? pattern.String : REPLACED_PATTERNS.get(pattern.Regex)!;
    return (text) => text.replaceAll(replaced, () => content);
  }

  #split(step: JsonObject): Cut {
    const pattern = this.#pattern(step, "Split", KNOWN_WORD_PATTERNS);
    const behavior = this.#behavior(step, null);
    return splitAt(expression(pattern), behavior, this.#flag(step, "invert", false));
  }

  #behavior(step: JsonObject, byDefault: SplitBehavior | null): SplitBehavior {
    const value = step.behavior ?? byDefault;
    const behavior = SPLIT_BEHAVIORS.find((known) => known === value);
    if (behavior !== undefined) return behavior;
    throw invalid(
      this.#fileName,
      `has ${quoteValue(value)} as behavior of ${quoteValue(step.type)}, but that must be one of ${SPLIT_BEHAVIORS.join(", ")}`,
    );
  }

  #metaspace(step: JsonObject): Cut {
    // Older files say `add_prefix_space` where newer ones have a scheme.
    const {
      replacement = "▁",
      prepend_scheme: scheme = step.add_prefix_space === false ? "never" : "always",
    } = step;
    if (typeof replacement !== "string" || [...replacement].length !== 1) {
      throw invalid(this.#fileName, `has ${quoteValue(replacement)} as replacement of Metaspace`);
    }
    if (scheme !== "always" && scheme !== "first" && scheme !== "never") {
      throw invalid(this.#fileName, `has ${quoteValue(scheme)} as prepend_scheme of Metaspace`);
    }
    this.#grow(2);
    return metaspace(replacement, this.#prepends ? scheme : "never", this.#flag(step, "split", true));
  }

  #pattern(
    step: JsonObject,
    kind: string,
    known: { has(pattern: string): boolean },
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
    if (typeof value === "string" && value.length <= MAX_INSERTED && !/\p{Surrogate}/u.test(value))
      return value;
    throw invalid(
      this.#fileName,
      `has ${quoteValue(value)} as ${field} of ${quoteValue(step.type)}, but that must be a text of at most ${MAX_INSERTED} characters`,
    );
  }

  #flag<Default extends boolean | null>(
    step: JsonObject,
    field: string,
    byDefault: Default,
  ): boolean | Default {
    const value = step[field] ?? byDefault;
    if (value === byDefault || typeof value === "boolean") return value as boolean | Default;
    throw invalid(
      this.#fileName,
      `has ${quoteValue(value)} as ${field} of ${quoteValue(step.type)}, but that must be true or false`,
    );
  }

  #grow(factor: number): void {
    this.#growth *= Math.max(1, factor);
    if (this.#growth > MAX_GROWTH) {
      throw invalid(this.#fileName, `has steps that could make a text over ${MAX_GROWTH} times as long`);
    }
  }

  #unknown(step: JsonObject, kind: string) {
    return invalid(this.#fileName, `has a ${kind} of type ${quoteValue(step.type)}, which is not known`);
  }

  #unsupported(what: string) {
    return unsupported(this.#fileName, `asks for ${what}, which is not supported`);
  }
}

/**
 * As JavaScript writes it: the library rewrites the patterns of Hugging Face's regular expressions. It takes ASCII's letters
 * alone for each other where case does not count; of those that the published patterns name, s has a third form, ſ.
 */
function expression(pattern: { String: string } | { Regex: string }): RegExp {
  if ("String" in pattern) return new RegExp(pattern.String.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "gu");
  const Regex = pattern.Regex.replaceAll("(?i:'s|", "(?i:'s|'ſ|").replaceAll("(?i:[s", "(?i:[sſ");
  return new SplitPreTokenizer({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false })
    .pattern;
}

function normalLength(text: string): number {
  return text.normalize("NFKD").length;
}
