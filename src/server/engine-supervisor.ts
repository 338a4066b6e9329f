/**
 * The model that answers: loads it, notices when its engine is lost, and loads it again, waiting longer each time it
 * fails. Owns the language model; whoever needs it asks for it anew for each request.
 */
import { LastrowError } from "../errors.js";
import type { LanguageModel } from "../language-model.js";
import { ApiError } from "./api-error.js";

/** How the engine is: `restarting` from when it is lost until it answers again, `stopped` for good. */
export type EngineState = "loading" | "ready" | "restarting" | "stopped";

export interface SupervisorOptions {
  /** Loads the model. */
  readonly load: (signal: AbortSignal) => Promise<LanguageModel>;
  /** Told of what happens, for the log. */
  readonly onChange?: (state: EngineState, error: unknown) => void;
  /** Told of each model that begins to answer, and of each that is gone. */
  readonly onModel?: (model: LanguageModel) => void;
  readonly onLost?: (model: LanguageModel) => void;
  /** Milliseconds before a first restart; doubled each time up to `maxBackoffMs`. */
  readonly backoffMs?: number;
  readonly maxBackoffMs?: number;
  /** Milliseconds between looks at an engine that nobody uses. */
  readonly heartbeatMs?: number;
}

/** What tells that an engine is gone for good. */
const LOST: ReadonlySet<string> = new Set(["engine_lost", "thread_lost"]);

export class EngineSupervisor {
  readonly #options: Required<SupervisorOptions>;
  readonly #stop = new AbortController();
  readonly #whenReady: (() => void)[] = [];
  #model: LanguageModel | null = null;
  #state: EngineState = "loading";
  #restarts = 0;
  #failures = 0;
  #lastError: unknown = null;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = {
      onChange: () => undefined,
      onModel: () => undefined,
      onLost: () => undefined,
      backoffMs: 250,
      maxBackoffMs: 30_000,
      heartbeatMs: 1000,
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

  /** Why the engine is not there, in a sentence; null when it is. */
  get problem(): string | null {
    if (this.#state === "ready" || this.#lastError === null) return null;
    return this.#lastError instanceof Error ? this.#lastError.message : String(this.#lastError);
  }

  /** @throws ApiError 503 when there is none just now */
  get model(): LanguageModel {
    if (this.#model !== null) return this.#model;
    throw new ApiError(503, "engine_unavailable", `The engine is ${this.#state}; try again.`, {
      retryAfter: 2,
    });
  }

  /**
   * Loads the model for the first time.
   * @throws what loading throws
   */
  async start(): Promise<LanguageModel> {
    const model = await this.#options.load(this.#stop.signal);
    this.#begin(model);
    return model;
  }

  /** Whether what a model threw means that its engine is gone; if so, it is replaced. */
  noticeFailure(model: LanguageModel, error: unknown): boolean {
    const isLost =
      error instanceof LastrowError &&
      (LOST.has(error.code) || (error.code === "disposed" && this.#state !== "stopped"));
    if (isLost && model === this.#model) this.#restart(error);
    return isLost;
  }

  /** Resolves when there is a model again. */
  whenReady(): Promise<void> {
    if (this.#state === "ready") return Promise.resolve();
    return new Promise((resolve) => this.#whenReady.push(resolve));
  }

  async dispose(): Promise<void> {
    if (this.#state === "stopped") return;
    this.#change("stopped", null);
    this.#stop.abort();
    clearInterval(this.#heartbeat);
    clearTimeout(this.#timer);
    const model = this.#model;
    this.#model = null;
    await model?.dispose();
  }

  #begin(model: LanguageModel): void {
    this.#model = model;
    this.#failures = 0;
    this.#options.onModel(model);
    this.#change("ready", null);
    for (const resolve of this.#whenReady.splice(0)) resolve();
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => void this.#look(model), this.#options.heartbeatMs);
    this.#heartbeat.unref?.();
  }

  async #look(model: LanguageModel): Promise<void> {
    try {
      await model.stats();
    } catch (error) {
      this.noticeFailure(model, error);
    }
  }

  #restart(error: unknown): void {
    const lost = this.#model;
    this.#model = null;
    clearInterval(this.#heartbeat);
    if (lost !== null) {
      this.#options.onLost(lost);
      lost.dispose().catch(() => undefined);
    }
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
      model = await this.#options.load(this.#stop.signal);
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
