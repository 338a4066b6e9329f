/**
 * The tokens with which a model is asked for the middle of a text: which a vocabulary has, in which order they and the two
 * parts stand (docs/api.md says where each form comes from), and which tokens end a middle.
 */

/** How a model is asked for what stands between two texts. */
export interface InfillTokens {
  /** Stands before the text before the middle. */
  readonly prefix: number;
  /** Stands before the text behind the middle. */
  readonly suffix: number;
  /** Stands where the middle begins; null: the middle goes on the text before it, which is the last of all then. */
  readonly middle: number | null;
  /** Tokens that no middle holds: they end it. */
  readonly ends: readonly number[];
}

/** The id of a token that the model can take; undefined when there is none. */
type IdOf = (token: string) => number | undefined;

/** What is found of them. */
export interface FoundInfill {
  /** Null where some are missing. */
  readonly tokens: InfillTokens | null;
  /** What is missing, in words that follow "its tokenizer"; empty where nothing is. */
  readonly missing: string;
  /** Texts of all tokens that belong to the form: in a prompt's parts they are plain text. */
  readonly contents: readonly string[];
}

/** Texts of such tokens, as a file names them by what they are for. */
export interface NamedInfill {
  readonly prefix?: string | undefined;
  readonly suffix?: string | undefined;
  readonly middle?: string | undefined;
  /** Padding, and what stands between files. */
  readonly others: readonly string[];
}

interface Form {
  readonly prefix: string;
  readonly suffix: string;
  readonly middle: string | null;
  /** Others that end a middle, where the vocabulary has them. */
  readonly ends: readonly string[];
}

const FORMS: readonly Form[] = [
  // Qwen's coders, Granite 4, CodeGemma.
  {
    ...{ prefix: "<|fim_prefix|>", suffix: "<|fim_suffix|>", middle: "<|fim_middle|>" },
    ends: [
      ...["<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>"],
      ...["<|endoftext|>", "<|im_end|>"],
    ],
  },
  // StarCoder, Granite's coders, StableCode.
  {
    ...{ prefix: "<fim_prefix>", suffix: "<fim_suffix>", middle: "<fim_middle>" },
    ends: ["<fim_pad>", "<reponame>", "<repo_name>", "<file_sep>", "<|endoftext|>"],
  },
  // SantaCoder.
  {
    ...{ prefix: "<fim-prefix>", suffix: "<fim-suffix>", middle: "<fim-middle>" },
    ends: ["<fim-pad>", "<|endoftext|>"],
  },
  // CodeLlama.
  { prefix: "▁<PRE>", suffix: "▁<SUF>", middle: "▁<MID>", ends: ["▁<EOT>"] },
  // DeepSeek.
  {
    ...{ prefix: "<｜fim▁begin｜>", suffix: "<｜fim▁hole｜>", middle: "<｜fim▁end｜>" },
    ends: ["<|EOT|>"],
  },
  // Codestral.
  { prefix: "[PREFIX]", suffix: "[SUFFIX]", middle: null, ends: ["[MIDDLE]"] },
];

/**
 * @param named what a GGUF file says of them; it goes before what tokens are called
 */
export function findInfillTokens(idOf: IdOf, named: NamedInfill | null): FoundInfill {
  const form = formOf(idOf, named);
  if (form === null) {
    const { prefix, suffix, middle } = FORMS[0];
    return {
      tokens: null,
      missing: `has no tokens for that, such as ${prefix}, ${suffix} and ${middle}`,
      contents: [],
    };
  }
  const markers = markersOf(form);
  const contents = [...new Set([...markers, ...form.ends, ...(named?.others ?? [])])];
  const missing = markers.filter((text) => idOf(text) === undefined);
  if (missing.length > 0) {
    const there = markers.filter((text) => !missing.includes(text));
    return {
      tokens: null,
      missing: `has ${there.join(" and ")}, but not ${missing.join(" and ")}`,
      contents,
    };
  }
  return {
    tokens: {
      prefix: idOf(form.prefix)!,
      suffix: idOf(form.suffix)!,
      middle: form.middle === null ? null : idOf(form.middle)!,
      ends: contents.map(idOf).filter((id) => id !== undefined),
    },
    missing: "",
    contents,
  };
}

/** Token ids that ask for the middle, without a text's start token. */
export function infillPrompt(
  { prefix, suffix, middle }: InfillTokens,
  before: readonly number[],
  after: readonly number[],
): number[] {
  if (middle === null) return [suffix, ...after, prefix, ...before];
  return [prefix, ...before, suffix, ...after, middle];
}

/** The form that the file names, or the one of which most tokens are there; null: none is. */
function formOf(idOf: IdOf, named: NamedInfill | null): Form | null {
  const { prefix, suffix, middle } = named ?? {};
  if (prefix !== undefined && suffix !== undefined) {
    const known = FORMS.find((form) => form.prefix === prefix && form.suffix === suffix);
    if (known !== undefined) return known;
    // In the order that llama.cpp has for tokens of any name.
    if (middle !== undefined) return { prefix, suffix, middle, ends: [] };
  }
  const count = (form: Form) => markersOf(form).filter((text) => idOf(text) !== undefined).length;
  const isWhole = (form: Form) => count(form) === markersOf(form).length;
  const most = FORMS.reduce((best, form) => (count(form) > count(best) ? form : best));
  return FORMS.find(isWhole) ?? (count(most) > 0 ? most : null);
}

function markersOf({ prefix, suffix, middle }: Form): string[] {
  return middle === null ? [prefix, suffix] : [prefix, suffix, middle];
}
