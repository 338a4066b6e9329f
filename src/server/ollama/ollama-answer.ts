/** Answers of Ollama's `/api/chat` and `/api/generate`: whole, or as lines of which the last says what it took. */
import type { GenerationPiece } from "../../protocol/generation-request.js";
import type { GeneratedLogprobs } from "../../sampling/logprobs.js";
import { listsText } from "../chunk-text.js";
import type { Exchange } from "../exchange.js";
import type { Finished } from "../generation-service.js";
import type { ModelService } from "../model-service.js";
import { chatLogprobs, shownPerTurn } from "../token-text.js";
import { type WholeCall, wholeCalls } from "../whole-calls.js";

/** What is said at once. */
interface Said {
  readonly text: string;
  readonly reasoning?: string | undefined;
  readonly calls?: readonly WholeCall[] | undefined;
}

/** How one of the two routes says it. */
export type SayingForm = (said: Said) => object;

/** As `/api/chat`. */
export function chatForm({ text, reasoning = "", calls = [] }: Said): object {
  return {
    message: {
      ...{ role: "assistant", content: text },
      ...(reasoning !== "" && { thinking: reasoning }),
      ...(calls.length > 0 && {
        tool_calls: calls.map(({ id, name, input }, index) => ({
          ...{ id, function: { index, name, arguments: input } },
        })),
      }),
    },
  };
}

/** As `/api/generate`. */
export function generateForm({ text, reasoning = "" }: Said): object {
  return { response: text, ...(reasoning !== "" && { thinking: reasoning }) };
}

export interface OllamaAnswerParts {
  readonly model: ModelService;
  /** What the request called it. */
  readonly name: string;
  /** Milliseconds that it took to have it. */
  readonly loadMs: number;
  readonly exchange: Exchange;
  readonly form: SayingForm;
  /** Alternatives to each token; null: no log-probabilities. */
  readonly logprobs: number | null;
}

export class OllamaAnswer {
  readonly #parts: OllamaAnswerParts;

  constructor(parts: OllamaAnswerParts) {
    this.#parts = parts;
  }

  /** The line for a piece; null where there is nothing to say. */
  line({ text, reasoning = "", tokens, logprobs }: GenerationPiece): string | null {
    const scored = this.#logprobsOf(tokens.length > 0 ? logprobs : undefined);
    if (text === "" && reasoning === "" && scored === undefined) return null;
    return this.#json({ text, reasoning }, { done: false, logprobs: scored });
  }

  /** The lines after the last piece's: the calls, whole as they are here, and what it all took. */
  *lastLines(finished: Finished): Generator<string> {
    const calls = wholeCalls(finished.choices[0].toolCalls ?? []);
    if (calls.length > 0) yield this.#json({ text: "", calls }, { done: false });
    yield this.#json({ text: "" }, this.#end(finished));
  }

  async whole(finished: Finished): Promise<string> {
    const [{ text, reasoning, toolCalls = [], logprobs = [] }] = finished.choices;
    const json = this.#json({ text, reasoning, calls: wholeCalls(toolCalls) }, this.#end(finished));
    const { logprobs: count, model } = this.#parts;
    if (count === null) return json;
    const { tokenizer } = model.engine.model;
    const lists = await listsText(
      shownPerTurn(logprobs, count, (some) => ({ logprobs: chatLogprobs(tokenizer, some, count).content })),
    );
    return `${json.slice(0, -1)},${lists.slice(1)}`;
  }

  /** What a request without anything to answer gets: the model is there. */
  loaded(): string {
    return this.#json({ text: "" }, { done: true, done_reason: "load" });
  }

  #json(said: Said, rest: object): string {
    const { name, form } = this.#parts;
    return JSON.stringify({ model: name, created_at: new Date().toISOString(), ...form(said), ...rest });
  }

  #end({ choices: [{ finishReason }], cost }: Finished): object {
    const { exchange, loadMs } = this.#parts;
    return {
      done: true,
      done_reason: finishReason === "length" ? "length" : "stop",
      total_duration: nanoseconds(exchange.elapsedMs),
      load_duration: nanoseconds(loadMs),
      prompt_eval_count: cost.promptTokens,
      prompt_eval_duration: nanoseconds(cost.prefillMs),
      eval_count: cost.completionTokens,
      eval_duration: nanoseconds(cost.decodeMs),
    };
  }

  #logprobsOf(logprobs: readonly GeneratedLogprobs[] | undefined) {
    const { logprobs: count, model } = this.#parts;
    if (count === null || logprobs === undefined) return undefined;
    return chatLogprobs(model.engine.model.tokenizer, logprobs, count).content;
  }
}

export function nanoseconds(ms: number): number {
  return Math.round(ms * 1e6);
}
