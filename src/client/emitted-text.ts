/** Text as it becomes final: characters complete, thoughts apart, stop strings held back and cut off. */
import type { AnswerThoughts } from "../chat/thoughts.js";
import { StopStrings } from "../tokenizer/stop-strings.js";
import type { TextStream, Tokenizer } from "../tokenizer/tokenizer.js";
import { type SplitText, ThoughtSplit } from "./thought-split.js";

export interface EmittedTextOptions {
  /** Texts that end it; in thoughts they count for nothing. */
  readonly stop: readonly string[];
  /** How it marks thoughts; null: it has none. */
  readonly thoughts: AnswerThoughts | null;
}

export class EmittedText {
  readonly #stream: TextStream | null;
  readonly #stops: StopStrings | null;
  readonly #split: ThoughtSplit | null;
  #whole = "";
  #reasoning = "";
  #numTokens = 0;
  #numReasoningTokens = 0;
  #stopped = false;

  /**
   * @param tokenizer null: there is no text
   * @param prompt the tokens before it
   */
  constructor(
    tokenizer: Tokenizer | null,
    prompt: readonly number[],
    { stop, thoughts }: EmittedTextOptions,
  ) {
    this.#stream = tokenizer?.stream({ continues: tokenizer.continues(prompt) }) ?? null;
    this.#stops = stop.length > 0 ? new StopStrings(stop) : null;
    this.#split = thoughts === null ? null : new ThoughtSplit(thoughts);
  }

  /** A stop string has appeared. */
  get stopped(): boolean {
    return this.#stopped;
  }

  get whole(): string {
    return this.#whole;
  }

  /** All of its thoughts, and how many tokens they and their markers have; null where it can have none. */
  get thoughts(): { readonly reasoning: string; readonly numTokens: number } | null {
    if (this.#split === null) return null;
    return { reasoning: this.#reasoning, numTokens: this.#numReasoningTokens };
  }

  push(token: number): SplitText {
    this.#numTokens++;
    const split = this.#split;
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
  flush(): SplitText {
    if (this.#stopped) return { text: "", reasoning: "" };
    const last = this.#stream?.flush() ?? "";
    const split = this.#split;
    const rest = this.#emit(
      split === null ? { text: last, reasoning: "" } : joined(split.push(last), split.flush()),
    );
    if (this.#stopped || this.#stops === null) return rest;
    const held = this.#stops.flush();
    this.#whole += held;
    return { text: rest.text + held, reasoning: rest.reasoning };
  }

  #emit({ text, reasoning }: SplitText): SplitText {
    let final = text;
    if (this.#stops !== null) {
      const checked = this.#stops.push(text);
      final = checked.text;
      this.#stopped = checked.stopped !== null;
    }
    this.#whole += final;
    this.#reasoning += reasoning;
    return { text: final, reasoning };
  }
}

function joined(first: SplitText, second: SplitText): SplitText {
  return { text: first.text + second.text, reasoning: first.reasoning + second.reasoning };
}
