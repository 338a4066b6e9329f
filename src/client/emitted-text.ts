/** Text as it becomes final: characters complete, stop strings held back and cut off. */
import { StopStrings } from "../tokenizer/stop-strings.js";
import type { TextStream, Tokenizer } from "../tokenizer/tokenizer.js";

export class EmittedText {
  readonly #stream: TextStream | null;
  readonly #stops: StopStrings | null;
  #whole = "";
  #stopped = false;

  /**
   * @param tokenizer null: there is no text
   * @param prompt the tokens before it
   * @param stop texts that end it
   */
  constructor(tokenizer: Tokenizer | null, prompt: readonly number[], stop: readonly string[]) {
    this.#stream = tokenizer?.stream({ continues: tokenizer.continues(prompt) }) ?? null;
    this.#stops = stop.length > 0 ? new StopStrings(stop) : null;
  }

  /** A stop string has appeared. */
  get stopped(): boolean {
    return this.#stopped;
  }

  get whole(): string {
    return this.#whole;
  }

  push(token: number): string {
    return this.#emit(this.#stream?.push(token) ?? "");
  }

  /** What was held back and turned out to be final. */
  flush(): string {
    if (this.#stopped) return "";
    const rest = this.#emit(this.#stream?.flush() ?? "");
    if (this.#stopped || this.#stops === null) return rest;
    const held = this.#stops.flush();
    this.#whole += held;
    return rest + held;
  }

  #emit(text: string): string {
    let final = text;
    if (this.#stops !== null) {
      const checked = this.#stops.push(text);
      final = checked.text;
      this.#stopped = checked.stopped !== null;
    }
    this.#whole += final;
    return final;
  }
}
