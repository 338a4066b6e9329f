/**
 * The model that answers: loads it, and loads it again when it says that its engine is lost, waiting longer each time it
 * fails. What a request fails with never decides that. Owns the language model; its users ask for it anew for each
 * request.
 */
import { LastrowError } from "../errors.js";
import type { LanguageModel } from "../library/language-model.js";
import type { ModelInfo } from "../library/model-info.js";
import { engineUnavailable } from "./api-error.js";

/** How the engine is: `restarting` from when it is lost until it answers again, `stopped` for good. */
export type EngineState = "loading" | "ready" | "restarting" | "stopped";

export interface SupervisorOptions {
  /** Loads the model; `before` tells of the one that was first loaded, null the first time. */
  readonly load: (signal: AbortSignal, before: ModelInfo | null) => Promise<LanguageModel>;
  /** Told of what happens, for the log. */
  readonly onChange?: (state: EngineState, error: unknown) => void;
  /** Told of each model that begins to answer, and of each that is gone. */
  readonly onModel?: (model: LanguageModel) => void;
  readonly onLost?: (model: LanguageModel) => void;
  /** Milliseconds before a first restart; doubled each time up to `maxBackoffMs`. */
  readonly backoffMs?: number;
  readonly maxBackoffMs?: number;
}

export class EngineSupervisor {
  readonly #options: Required<SupervisorOptions>;
  readonly #stop = new AbortController();
  #model: LanguageModel | null = null;
  #info: ModelInfo | null = null;
  #state: EngineState = "loading";
  #restarts = 0;
  #failures = 0;
  #lastError: unknown = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = {
      onChange: () => undefined,
      onModel: () => undefined,
      onLost: () => undefined,
      backoffMs: 250,
      maxBackoffMs: 30_000,
      ...options,
    };
  }

  get state(): EngineState {
    return this.#state;
  }

  /** Times that a lost engine was replaced. */
  get restarts(): number {
    return this.#restarts;
  }

  /**
   * Why the engine is not there, in a sentence for clients; null when it is. An error's own words are for the log alone:
   * they name files.
   */
  get problem(): string | null {
    if (this.#state === "ready" || this.#lastError === null) return null;
    const code = this.#lastError instanceof LastrowError ? this.#lastError.code : "internal_error";
    return `The engine is not there (${code}); the server's log says more.`;
  }

  /** @throws ApiError 503 when there is none just now */
  get model(): LanguageModel {
    if (this.#model !== null) return this.#model;
    throw engineUnavailable(undefined, `The engine is ${this.#state}; try again.`);
  }

  /**
   * Loads the model for the first time.
   * @throws what loading throws
   */
  async start(): Promise<LanguageModel> {
    const model = await this.#options.load(this.#stop.signal, this.#info);
    this.#begin(model);
    return model;
  }

  /** Whether a model is the one that answers: one whose engine is lost is not. */
  answersWith(model: LanguageModel): boolean {
    return model === this.#model;
  }

  async dispose(): Promise<void> {
    if (this.#state === "stopped") return;
    this.#change("stopped", null);
    this.#stop.abort();
    clearTimeout(this.#timer);
    const model = this.#model;
    this.#model = null;
    await model?.dispose();
  }

  #begin(model: LanguageModel): void {
    this.#model = model;
    this.#info ??= model.info;
    this.#failures = 0;
    void model.lost.then((error) => this.#restart(model, error));
    this.#options.onModel(model);
    this.#change("ready", null);
  }

  #restart(lost: LanguageModel, error: unknown): void {
    if (lost !== this.#model) return;
    this.#model = null;
    this.#options.onLost(lost);
    lost.dispose().catch(() => undefined);
    this.#change("restarting", error);
    this.#later();
  }

  #later(): void {
    const { backoffMs, maxBackoffMs } = this.#options;
    const wait = Math.min(maxBackoffMs, backoffMs * 2 ** this.#failures);
    this.#failures += 1;
    this.#timer = setTimeout(() => void this.#again(), wait);
  }

  async #again(): Promise<void> {
    let model: LanguageModel;
    try {
      model = await this.#options.load(this.#stop.signal, this.#info);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#change("restarting", error);
      this.#later();
      return;
    }
    if (this.#stop.signal.aborted) {
      await model.dispose();
      return;
    }
    this.#restarts += 1;
    this.#begin(model);
  }

  #change(state: EngineState, error: unknown): void {
    this.#state = state;
    this.#lastError = error;
    this.#options.onChange(state, error);
  }
}
