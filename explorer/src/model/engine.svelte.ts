/**
 * The model that this page runs: the embedded one, or one of the user's own. Owns the `LanguageModel` and what there is to
 * say about loading it. Everything it computes, it computes here; nothing is sent anywhere.
 */
import { type LanguageModel, LastrowError, type LoadOptions, type LoadProgress, load } from "lastrow";
import { stories } from "lastrow/stories";
import type { PageSource } from "./page-source.ts";

type EngineState =
  | { readonly phase: "loading"; readonly progress: LoadProgress | null }
  | { readonly phase: "ready"; readonly lm: LanguageModel }
  | { readonly phase: "failed"; readonly error: unknown };

/** A model to run: where it is, and how it is loaded. */
interface ChosenModel {
  readonly source: PageSource;
  readonly options: Pick<LoadOptions, "dtype" | "contextLength">;
}

/** Addresses, a file each. */
const EMBEDDED: ChosenModel = {
  source: Object.fromEntries(Object.entries(stories).map(([name, address]) => [name, address.href])),
  options: {},
};

/** Parts of the page that run a copy of the model, with a KV cache of their own. */
export type CopyPart = "attention" | "cache";

/** A copy whose weights take no more is made without asking. */
const SMALL_COPY = 256 * 2 ** 20;

class PageEngine {
  state = $state.raw<EngineState>({ phase: "loading", progress: null });
  /** What the page runs, or is loading. */
  model = $state.raw<ChosenModel>(EMBEDDED);
  /** Parts that were allowed a copy of a large model. */
  #allowed = $state.raw<readonly CopyPart[]>([]);
  readonly #leaving = new Set<() => void>();

  /** The model, once it is there. */
  get lm(): LanguageModel | null {
    return this.state.phase === "ready" ? this.state.lm : null;
  }

  get isEmbedded(): boolean {
    return this.model === EMBEDDED;
  }

  /** What a copy takes. */
  get copyBytes(): number {
    const info = this.lm?.info;
    return info === undefined ? 0 : info.memoryBytes - info.kv.bytes;
  }

  /** Whether a part of the page may load a copy: where it is small, or was asked for. */
  mayCopy(part: CopyPart): boolean {
    return this.lm !== null && (this.lm.info.weightBytes <= SMALL_COPY || this.#allowed.includes(part));
  }

  allowCopy(part: CopyPart): void {
    this.#allowed = [...this.#allowed, part];
  }

  /** Calls back before the model goes: what has something of it lets go of it then. */
  onLeaving(listener: () => void): void {
    this.#leaving.add(listener);
  }

  /** Loads the model, once more if that failed. */
  async start(): Promise<void> {
    this.state = { phase: "loading", progress: null };
    const { model } = this;
    try {
      const lm = await this.loadAgain({
        onProgress: (progress) => {
          if (this.model === model && this.state.phase === "loading")
            this.state = { phase: "loading", progress };
        },
      });
      // Another one was chosen meanwhile.
      if (this.model === model) this.state = { phase: "ready", lm };
      else await lm.dispose();
    } catch (error) {
      if (this.model === model) this.state = { phase: "failed", error };
    }
  }

  /**
   * Loads another model in the place of this one, which stays until the other is there. One of the user's own goes before:
   * there may be no room for two.
   * @throws what loading throws; then the page runs what it ran before, or the embedded model
   */
  async change(model: ChosenModel, options: Pick<LoadOptions, "signal" | "onProgress">): Promise<void> {
    if (!this.isEmbedded) await this.embed();
    const lm = await loadModel(model, options);
    if (options.signal?.aborted) {
      await lm.dispose();
      throw new LastrowError("aborted", "Loading was cancelled.");
    }
    await this.#leave();
    this.model = model;
    this.state = { phase: "ready", lm };
  }

  /** Back to the embedded model. */
  async embed(): Promise<void> {
    if (this.isEmbedded) return;
    await this.#leave();
    this.model = EMBEDDED;
    await this.start();
  }

  /** The model, once more: for a view that needs a KV cache of its own. */
  loadAgain(options: LoadOptions): Promise<LanguageModel> {
    return loadModel(this.model, options);
  }

  async #leave(): Promise<void> {
    for (const listener of this.#leaving) listener();
    this.#allowed = [];
    const { lm } = this;
    this.state = { phase: "loading", progress: null };
    await lm?.dispose();
  }
}

function loadModel({ source, options }: ChosenModel, more: LoadOptions): Promise<LanguageModel> {
  if (typeof WebAssembly === "undefined") {
    return Promise.reject(new LastrowError("runtime_unsupported", "This browser has no WebAssembly."));
  }
  return load(source, { ...options, ...more });
}

/** Whether this page may share memory between threads; without it the engine runs on one. */
export const isIsolated = globalThis.crossOriginIsolated === true;

export const engine = new PageEngine();
