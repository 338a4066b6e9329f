/**
 * How a model writes calls of tools: which of the known forms it is, and the markers that calls stand between. It is
 * recognised from the model's chat template, which asks for one form and shows earlier calls in it.
 */
import type { Tokenizer } from "../tokenizer/tokenizer.js";

/** The known forms; docs/tools.md shows each. */
export type CallFormatName = "hermes" | "qwen3-coder" | "smollm3" | "granite" | "mistral" | "llama3";

/** All of them. */
export const CALL_FORMATS: readonly CallFormatName[] = [
  "hermes",
  "qwen3-coder",
  "smollm3",
  "granite",
  "mistral",
  "llama3",
];

/** A text that begins or ends calls. */
export interface CallMarker {
  readonly text: string;
  /** The special token that it is, which stands for no text; null: it is written as text, in whatever tokens. */
  readonly token: number | null;
}

/** How a model writes calls. Plain data. */
export interface CallFormat {
  readonly name: CallFormatName;
  /** What calls begin with; null: they are the whole answer, and begin as JSON. */
  readonly begin: CallMarker | null;
  /** What each call ends with; null: its own closing bracket ends it. */
  readonly end: CallMarker | null;
}

/** A format's markers, as text. */
const MARKERS: Readonly<Record<CallFormatName, readonly [begin: string | null, end: string | null]>> = {
  hermes: ["<tool_call>", "</tool_call>"],
  "qwen3-coder": ["<tool_call>", "</tool_call>"],
  smollm3: ["<tool_call>", "</tool_call>"],
  granite: ["<|tool_call|>", null],
  mistral: ["[TOOL_CALLS]", null],
  llama3: [null, null],
};

/** A format by its name, with the tokens that a model has for its markers. */
export function callFormat(name: CallFormatName, tokenizer: Tokenizer): CallFormat {
  const [begin, end] = MARKERS[name].map((text) => (text === null ? null : markerOf(text, tokenizer)));
  return { name, begin, end };
}

/**
 * The format that a model's chat template asks for.
 * @param source the template
 * @returns null where it knows of no tools, or of none in a known form
 */
export function callFormatOf(source: string, tokenizer: Tokenizer): CallFormat | null {
  const name = callFormatName(source);
  return name === null ? null : callFormat(name, tokenizer);
}

/**
 * What calls of a model begin with, as far as its tokens say: the markers that are tokens of its own, and the one that is most
 * often written as text.
 */
export function likelyMarkers(tokenizer: Tokenizer): readonly CallMarker[] {
  const [common] = MARKERS.hermes;
  const texts = new Set(CALL_FORMATS.map((name) => MARKERS[name][0]));
  return [...texts]
    .filter((text) => text !== null)
    .map((text) => markerOf(text, tokenizer))
    .filter(({ text, token }) => text === common || token !== null);
}

/** As `callFormatOf`: its name, for whichever tokenizer. */
export function callFormatName(source: string): CallFormatName | null {
  // What newer models of the family write between a name and its arguments is another form.
  if (source.includes("[TOOL_CALLS]")) return source.includes("[ARGS]") ? null : "mistral";
  if (source.includes("<function=") && source.includes("<parameter=")) return "qwen3-coder";
  if (source.includes("named SmolLM")) return "smollm3";
  if (source.includes("<tool_call>")) return "hermes";
  if (source.includes("<|tool_call|>")) return "granite";
  if (source.includes("<|start_header_id|>") && /\\?"parameters\\?": /.test(source)) return "llama3";
  return null;
}

function markerOf(text: string, tokenizer: Tokenizer): CallMarker {
  const special = tokenizer.specialTokens.find(({ content }) => content === text);
  return { text, token: special?.id ?? null };
}
