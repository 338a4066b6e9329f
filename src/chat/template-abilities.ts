/** What a chat template lets a model do, as its source shows: for telling clients, and for refusing what it cannot do. */

import { type CallFormatName, callFormatName } from "../tools/call-format.js";
import { knowsThoughts } from "./thoughts.js";

/** Plain data. */
export interface TemplateAbilities {
  /** The form in which it asks for calls of tools; null: it knows none. */
  readonly callFormat: CallFormatName | null;
  /** It knows thoughts. */
  readonly thinks: boolean;
  /** The variable that turns thoughts on and off; null: there is none. */
  readonly thoughtSwitch: string | null;
  /** It has a variable `reasoning_effort`. */
  readonly knowsEffort: boolean;
}

/** Variables that turn thoughts on and off: Qwen 3's, SmolLM3's and most others'; Granite's and DeepSeek V3.1's. */
const SWITCHES = ["enable_thinking", "thinking"];

/**
 * @param source a template that can be read
 * @param toolFormat the form of calls, where it is known otherwise
 */
export function templateAbilities(source: string, toolFormat?: CallFormatName): TemplateAbilities {
  const thinks = knowsThoughts(source);
  return {
    callFormat: toolFormat ?? callFormatName(source),
    thinks,
    thoughtSwitch: (thinks ? SWITCHES.find((name) => readsVariable(source, name)) : null) ?? null,
    knowsEffort: readsVariable(source, "reasoning_effort"),
  };
}

/** Whether a tag names a variable: not a part of a longer name, a field of something, or a text in quotes. */
function readsVariable(source: string, name: string): boolean {
  const named = new RegExp(`(?<![\\w.'"])${name}(?![\\w'"])`);
  return source.split("{%").some((after, i) => i > 0 && named.test(after.split("%}", 1)[0]));
}
