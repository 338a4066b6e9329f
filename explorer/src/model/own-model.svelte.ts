/**
 * A model of the user's own on its way into the page: chosen, looked at, loaded. Owns the choice and how far it has come,
 * until the page's engine has the model. What fails leaves the choice open, with the library's sentence.
 */
import { LastrowError, type LoadOptions, type LoadPlan, type LoadProgress, planLoad } from "lastrow";
import { engine } from "./engine.svelte.ts";
import type { PageSource } from "./page-source.ts";

export type WeightDtype = NonNullable<LoadOptions["dtype"]>;

/** Positions that are enough for the views: a page is no place for the longest chats. */
const USUAL_CONTEXT = 1024;
/** Contexts that can be chosen, as far as the model was made for them. */
const CONTEXTS = [512, 1024, 2048, 4096, 8192] as const;
type Phase = "choosing" | "looking" | "planned" | "loading";

class OwnModel {
  isOpen = $state(false);
  phase = $state<Phase>("choosing");
  plan = $state.raw<LoadPlan | null>(null);
  progress = $state.raw<LoadProgress | null>(null);
  error = $state.raw<unknown>(null);
  /** What the weights are kept as; as they are stored by default. */
  dtype = $state<WeightDtype>("auto");
  contextLength = $state(USUAL_CONTEXT);
  /** What the model was made for, once it is known. */
  #longest = $state<number | null>(null);
  readonly contexts = $derived.by(() => {
    const longest = this.#longest ?? USUAL_CONTEXT;
    const shorter = CONTEXTS.filter((length) => length < longest);
    return longest > CONTEXTS[CONTEXTS.length - 1] ? shorter : [...shorter, longest];
  });
  #source: PageSource | null = null;
  #controller = new AbortController();

  open(): void {
    this.isOpen = true;
  }

  /** Closes and forgets it all; a load that goes on ends. */
  close(): void {
    this.isOpen = false;
    this.chooseAnother();
  }

  /** Forgets the choice. */
  chooseAnother(): void {
    this.#begin();
    this.#source = null;
    this.plan = null;
    this.phase = "choosing";
  }

  /** Looks at a model: what it is, and what it would take. */
  async choose(source: PageSource): Promise<void> {
    this.isOpen = true;
    this.#source = source;
    this.dtype = "auto";
    this.contextLength = USUAL_CONTEXT;
    this.#longest = null;
    this.plan = null;
    await this.look();
  }

  /** Looks again, with what was chosen since. */
  async look(): Promise<void> {
    const source = this.#source;
    if (source === null) return;
    const signal = this.#begin();
    this.phase = "looking";
    try {
      const { dtype } = this;
      if (this.#longest === null) {
        const { maxContextLength } = (await planLoad(source, { dtype, contextLength: 1, signal })).config;
        if (signal.aborted) return;
        this.#longest = maxContextLength;
        this.contextLength = Math.min(USUAL_CONTEXT, maxContextLength);
      }
      const plan = await planLoad(source, { dtype, contextLength: this.contextLength, signal });
      if (signal.aborted) return;
      this.plan = plan;
      this.phase = "planned";
    } catch (error) {
      if (signal.aborted) return;
      this.plan = null;
      this.error = error;
      // With other options it may fit.
      const isTooLarge = error instanceof LastrowError && error.code === "memory_limit_exceeded";
      this.phase = isTooLarge ? "planned" : "choosing";
    }
  }

  /** Loads it into the page. */
  async load(): Promise<void> {
    const source = this.#source;
    if (source === null) return;
    const signal = this.#begin();
    this.progress = null;
    this.phase = "loading";
    try {
      await engine.change(
        { source, options: { dtype: this.dtype, contextLength: this.contextLength } },
        {
          signal,
          onProgress: (progress) => {
            if (!signal.aborted) this.progress = progress;
          },
        },
      );
      this.close();
    } catch (error) {
      if (signal.aborted) return;
      this.error = error;
      this.phase = "planned";
    }
  }

  /** Ends a load that goes on; the choice stays. */
  cancel(): void {
    this.#begin();
    this.phase = this.plan === null ? "choosing" : "planned";
  }

  /** What went on before is void. */
  #begin(): AbortSignal {
    this.#controller.abort();
    this.#controller = new AbortController();
    this.error = null;
    return this.#controller.signal;
  }
}

export const ownModel = new OwnModel();
