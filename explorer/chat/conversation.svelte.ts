/**
 * The conversation of the page: what was said, the answer that is under way, and what went wrong. Owns them, the models'
 * names and the key, which is in this object and nowhere else: a page that is loaded anew has forgotten it.
 */
import {
  type AnswerCost,
  type AnswerPart,
  type ApiMessage,
  answerChat,
  continueText,
  listModels,
  ServerError,
} from "./server-api.ts";

export interface Turn {
  readonly role: "user" | "assistant";
  text: string;
  reasoning: string;
  cost: AnswerCost | null;
  /** Why an answer ended; null while it comes. `stopped`: here, by hand. */
  end: string | null;
}

/** What went wrong, as the page says it. */
export interface Failure {
  /** The server's sentence; empty where it was not reached. */
  readonly message: string;
  readonly status: number;
  readonly retryAfter: number | null;
}

/** Waits until a model is there, at most. */
const READY_CODES: ReadonlySet<number> = new Set([0, 429, 503]);

export class Conversation {
  models = $state<string[]>([]);
  model = $state("");
  key = $state("");
  system = $state("");
  /** Null: the model's own. */
  temperature = $state<number | null>(null);
  turns = $state<Turn[]>([]);
  isAnswering = $state(false);
  failure = $state<Failure | null>(null);
  needsKey = $state(false);
  /** What was said and is to be said in other words: it goes back to the field that it came from. */
  returned = $state("");
  /** Models without a form of chats: their texts go on. */
  #continuing = $state<Record<string, true>>({});
  #stop: AbortController | null = null;

  /** Whether the model only continues a text. */
  readonly isContinuing = $derived(this.#continuing[this.model] === true);
  readonly canRetry = $derived(this.turns.length > 0 && !this.isAnswering);
  /** Whether asking once more may help. */
  readonly mayRecover = $derived(this.failure !== null && READY_CODES.has(this.failure.status));

  /** Asks for what is served. */
  async start(): Promise<void> {
    this.failure = null;
    try {
      this.models = await listModels(this.key);
      if (!this.models.includes(this.model)) this.model = this.models[0] ?? "";
      this.needsKey = false;
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Says something, and takes the answer. */
  async send(text: string): Promise<void> {
    if (this.isAnswering || text.trim() === "") return;
    this.turns.push({ role: "user", text, reasoning: "", cost: null, end: null });
    await this.#answer();
  }

  /** Takes the last answer back and asks again. */
  async retry(): Promise<void> {
    if (this.isAnswering) return;
    if (this.models.length === 0) await this.start();
    if (this.turns.at(-1)?.role === "assistant") this.turns.pop();
    if (this.turns.length > 0 && this.models.length > 0) await this.#answer();
  }

  /** Takes the last message back to the field, and the answer to it away. */
  edit(): void {
    if (this.isAnswering) return;
    if (this.turns.at(-1)?.role === "assistant") this.turns.pop();
    this.failure = null;
    this.#takeBack();
  }

  /** Ends the answer where it is. */
  stop(): void {
    this.#stop?.abort();
  }

  clear(): void {
    this.stop();
    this.turns = [];
    this.failure = null;
    this.returned = "";
  }

  async #answer(): Promise<void> {
    this.isAnswering = true;
    this.failure = null;
    const stop = new AbortController();
    this.#stop = stop;
    const turns = this.turns;
    let turn: Turn | null = null;
    try {
      for await (const part of this.#parts(stop.signal)) {
        if (turn === null) {
          turns.push({ role: "assistant", text: "", reasoning: "", cost: null, end: null });
          // What is in the list is watched; what was put there is not.
          turn = turns.at(-1)!;
        }
        take(turn, part);
      }
    } catch (error) {
      if (turn !== null) turn.end ??= stop.signal.aborted ? "stopped" : "lost";
      if (!stop.signal.aborted) this.#fail(error);
      // Else every later message would go with it, and be refused for it.
      if (turn === null && !this.needsKey && !this.mayRecover) this.#takeBack();
    } finally {
      this.isAnswering = false;
    }
  }

  #takeBack(): void {
    if (this.turns.at(-1)?.role === "user") this.returned = this.turns.pop()!.text;
  }

  async *#parts(signal: AbortSignal): AsyncGenerator<AnswerPart> {
    const { model, key, temperature } = this;
    const settings = temperature === null ? {} : { temperature };
    if (!this.isContinuing) {
      try {
        yield* answerChat(model, this.#messages(), settings, key, signal);
        return;
      } catch (error) {
        if (!(error instanceof ServerError && error.code === "chat_template_missing")) throw error;
        this.#continuing[model] = true;
      }
    }
    const text = this.turns.map((turn) => turn.text).join("");
    yield* continueText(model, text, settings, key, signal);
  }

  #messages(): ApiMessage[] {
    const system = this.system.trim();
    return [
      ...(system === "" ? [] : [{ role: "system" as const, content: system }]),
      ...this.turns.map(({ role, text, reasoning }) => ({
        ...{ role, content: text },
        ...(reasoning !== "" && { reasoning_content: reasoning }),
      })),
    ];
  }

  #fail(error: unknown): void {
    if (!(error instanceof ServerError)) throw error;
    if (error.status === 401) this.needsKey = true;
    const { message, status, retryAfter } = error;
    this.failure = { message, status, retryAfter };
  }
}

function take(turn: Turn, part: AnswerPart): void {
  if (part.kind === "text") turn.text += part.text;
  else if (part.kind === "reasoning") turn.reasoning += part.text;
  else if (part.kind === "end") turn.end = part.reason;
  else turn.cost = part.cost;
}
