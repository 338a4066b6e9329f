/**
 * The model that this page runs: loaded once, when the page opens. Owns the `LanguageModel` and what there is to say
 * about loading it. Everything it computes, it computes here; nothing is sent anywhere.
 */
import { type LanguageModel, LastrowError, type LoadOptions, type LoadProgress, load } from "lastrow";
import { stories } from "lastrow/stories";

type EngineState =
  | { readonly phase: "loading"; readonly progress: LoadProgress | null }
  | { readonly phase: "ready"; readonly lm: LanguageModel }
  | { readonly phase: "failed"; readonly error: unknown };

class PageEngine {
  state = $state.raw<EngineState>({ phase: "loading", progress: null });

  /** The model, once it is there. */
  get lm(): LanguageModel | null {
    return this.state.phase === "ready" ? this.state.lm : null;
  }

  async start(): Promise<void> {
    this.state = { phase: "loading", progress: null };
    try {
      const lm = await loadStories({
        onProgress: (progress) => {
          this.state = { phase: "loading", progress };
        },
      });
      this.state = { phase: "ready", lm };
    } catch (error) {
      this.state = { phase: "failed", error };
    }
  }
}

/** The embedded model, once more: for a view that needs a KV cache of its own. */
export function loadStories(options: LoadOptions): Promise<LanguageModel> {
  if (typeof WebAssembly === "undefined") {
    return Promise.reject(new LastrowError("runtime_unsupported", "This browser has no WebAssembly."));
  }
  return load(stories, options);
}

/** Whether this page may share memory between threads; without it the engine runs on one. */
export const isIsolated = globalThis.crossOriginIsolated === true;

export const engine = new PageEngine();
