/** Text as it becomes final: characters complete, thoughts and calls apart, stop strings held back and cut off. */
import type { AnswerThoughts } from "../chat/thoughts.js";
import { StopStrings } from "../tokenizer/stop-strings.js";
import type { TextStream, Tokenizer } from "../tokenizer/tokenizer.js";
import type { CallSplit, SplitCalls } from "../tools/call-split.js";
import type { ToolCall, ToolCallDelta } from "../tools/tool.js";
import { type SplitText, ThoughtSplit } from "./thought-split.js";

/** How the calls of an answer are told from its text: made for each. */
export type AnswerCalls = () => CallSplit;

export interface EmittedTextOptions {
  /** Texts that end it; in thoughts and calls they count for nothing. */
  readonly stop: readonly string[];
  /** How it marks thoughts; null: it has none. */
  readonly thoughts: AnswerThoughts | null;
  /** How it calls tools; null: it calls none. */
  readonly calls: AnswerCalls | null;
}

/** What is final. */
export interface EmittedParts extends SplitText {
  readonly calls: readonly ToolCallDelta[];
}

export class EmittedText {
  readonly #stream: TextStream | null;
  readonly #stops: StopStrings | null;
  readonly #split: ThoughtSplit | null;
  readonly #calls: CallSplit | null;
  #whole = "";
  #reasoning = "";
  #numTokens = 0;
  #numReasoningTokens = 0;
  #stopText: string | null = null;

  /**
   * @param tokenizer null: there is no text
   * @param prompt the tokens before it
   */
  constructor(
    tokenizer: Tokenizer | null,
    prompt: readonly number[],
    { stop, thoughts, calls }: EmittedTextOptions,
  ) {
    this.#stream = tokenizer?.stream({ continues: tokenizer.continues(prompt) }) ?? null;
    this.#stops = stop.length > 0 ? new StopStrings(stop) : null;
    this.#split = thoughts === null ? null : new ThoughtSplit(thoughts);
    this.#calls = calls?.() ?? null;
  }

  /** The stop string that has appeared; null: none. */
  get stopText(): string | null {
    return this.#stopText;
  }

  /** A stop string has appeared. */
  get stopped(): boolean {
    return this.#stopText !== null;
  }

  get whole(): string {
    return this.#whole;
  }

  /** All of its thoughts, and how many tokens they and their markers have; null where it can have none. */
  get thoughts(): { readonly reasoning: string; readonly numTokens: number } | null {
    if (this.#split === null) return null;
    return { reasoning: this.#reasoning, numTokens: this.#numReasoningTokens };
  }

  /** The calls of tools so far; null where it can have none. */
  get calls(): readonly ToolCall[] | null {
    return this.#calls?.calls ?? null;
  }

  push(token: number): EmittedParts {
    this.#numTokens++;
    const split = this.#split;
    const isCalled = this.#calls?.isMarker(token) === true && split?.isThinking !== true;
    if (isCalled) return this.#emit(this.#beforeCall(), token);
    if (split === null) return this.#emit({ text: this.#stream?.push(token) ?? "", reasoning: "" });
    const { isThinking: wasThinking, hasBegun } = split;
    let emitted: SplitText;
    if (split.isMarker(token)) {
      // Bytes that never became a character may stand before it.
      const before = split.push(this.#stream?.flush() ?? "");
      const rest = split.isMarker(token)
        ? split.passMarker(token)
        : split.push(this.#stream?.push(token) ?? "");
      emitted = joined(before, rest);
    } else emitted = split.push(this.#stream?.push(token) ?? "");
    // One token may hold both markers.
    if (wasThinking || split.hasBegun !== hasBegun) this.#numReasoningTokens = this.#numTokens;
    return this.#emit(emitted);
  }

  /** What was held back and turned out to be final. */
  flush(): EmittedParts {
    if (this.stopped) return { text: "", reasoning: "", calls: [] };
    const last = this.#stream?.flush() ?? "";
    const split = this.#split;
    const rest = this.#emit(
      split === null ? { text: last, reasoning: "" } : joined(split.push(last), split.flush()),
    );
    const called = this.#calls?.flush() ?? NO_CALLS;
    let held = this.stopped ? "" : this.#checked(called.text);
    if (!this.stopped && this.#stops !== null) held += this.#stops.flush();
    this.#whole += held;
    return { text: rest.text + held, reasoning: rest.reasoning, calls: [...rest.calls, ...called.calls] };
  }

  /** What stands before a token that begins or ends calls. */
  #beforeCall(): SplitText {
    const last = this.#stream?.flush() ?? "";
    const split = this.#split;
    return split === null ? { text: last, reasoning: "" } : joined(split.push(last), split.endThoughts());
  }

  /** @param marker what begins or ends calls behind it */
  #emit({ text, reasoning }: SplitText, marker: number | null = null): EmittedParts {
    const calls = this.#calls;
    const before = calls?.push(text) ?? { ...NO_CALLS, text };
    const behind = marker === null ? NO_CALLS : (calls?.passMarker(marker) ?? NO_CALLS);
    const final = this.#withoutStops(before) + this.#withoutStops(behind);
    this.#whole += final;
    this.#reasoning += reasoning;
    return { text: final, reasoning, calls: [...before.calls, ...behind.calls] };
  }

  /** What of the text is final; all that stands before a call is, so that it comes before the call. */
  #withoutStops({ text, beginsAt }: SplitCalls): string {
    if (this.stopped) return "";
    if (this.#stops === null || beginsAt === null) return this.#checked(text);
    const before = this.#checked(text.slice(0, beginsAt));
    if (this.stopped) return before;
    return before + this.#stops.flush() + this.#checked(text.slice(beginsAt));
  }

  /** What of a text is final before stop strings. */
  #checked(text: string): string {
    if (this.#stops === null) return text;
    const checked = this.#stops.push(text);
    this.#stopText = checked.stopped;
    return checked.text;
  }
}

const NO_CALLS: SplitCalls = { text: "", calls: [], beginsAt: null };

function joined(first: SplitText, second: SplitText): SplitText {
  return { text: first.text + second.text, reasoning: first.reasoning + second.reasoning };
}
