/**
 * How a reasoning model marks its thoughts: by a pair of markers that its chat template knows. They are looked for in the
 * template and in the tokenizer, never in what a message says, so that a model without thoughts has none, whatever it writes.
 */
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { Run } from "./jinja/text.js";

/** A marker: one token, where the tokenizer has it as one; otherwise a text that may span tokens. */
export interface ThoughtMarker {
  readonly text: string;
  /** Null: it is spelled. */
  readonly token: number | null;
}

/** The markers that thoughts stand between. */
export interface ThoughtMarkers {
  readonly begin: ThoughtMarker;
  readonly end: ThoughtMarker;
}

/** How the thoughts of one answer are told from its text. */
export interface AnswerThoughts extends ThoughtMarkers {
  /** The prompt has begun them: the answer goes on within them. */
  readonly isOpen: boolean;
}

/** Markers of published models: Qwen 3, SmolLM3, DeepSeek R1 and most others; Magistral; Seed-OSS. */
const KNOWN: readonly (readonly [begin: string, end: string])[] = [
  ["<think>", "</think>"],
  ["[THINK]", "[/THINK]"],
  ["<seed:think>", "</seed:think>"],
];

/**
 * The markers of a model's thoughts; null where its template knows none.
 * @param source the template. It writes the end of thoughts, or cuts there what it is given: both name the marker
 */
export function thoughtMarkers(source: string, tokenizer: Tokenizer): ThoughtMarkers | null {
  const known = knownMarkers(source);
  if (known === undefined) return null;
  const [begin, end] = known.map((text) => ({ text, token: tokenOf(text, tokenizer) }));
  return { begin, end };
}

/** Whether a template knows thoughts, which have markers then. */
export function knowsThoughts(source: string): boolean {
  return knownMarkers(source) !== undefined;
}

function knownMarkers(source: string) {
  return KNOWN.find(([, end]) => source.includes(end));
}

/**
 * What the answer to a prompt has of thoughts: null where it has none, as the prompt has ended them itself
 * (`enable_thinking: false`). Only what the template wrote at the very end counts.
 */
export function answerThoughts(
  markers: ThoughtMarkers | null,
  prompt: readonly Run[],
): AnswerThoughts | null {
  const last = prompt.findLast(({ text }) => text !== "");
  if (markers === null || last === undefined) return null;
  const written = last.origin === 0 ? last.text.trimEnd() : "";
  if (written.endsWith(markers.end.text)) return null;
  return { ...markers, isOpen: written.endsWith(markers.begin.text) };
}

/** The id that stands for a text and nothing else. */
function tokenOf(text: string, tokenizer: Tokenizer): number | null {
  const ids = tokenizer.encode(text, { parseSpecial: true, addSpecialTokens: false, continues: true });
  const isWhole = ids.length === 1 && new TextDecoder().decode(tokenizer.tokenBytes(ids[0])) === text;
  return isWhole ? ids[0] : null;
}
