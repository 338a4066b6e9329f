/**
 * The engine of the cache view: a model with a KV cache of a chosen size, the requests that were made of it, and all
 * events since it was loaded. Owns the three, what is asked for next, and the cursor; what is shown is a function of them.
 */
import type { LanguageModel } from "lastrow";
import { engine } from "../model/engine.svelte.ts";
import { promptTokens } from "../model/prompt.ts";
import { CacheRecording } from "./cache-state.ts";
import { type CacheBatch, type CacheRequest, generateBatch } from "./requests.ts";
import { SCENARIOS, type Scenario, scenariosOf } from "./scenarios.ts";

class CacheRun {
  lm = $state.raw<LanguageModel | null>(null);
  recording = $state.raw<CacheRecording>(new CacheRecording(SCENARIOS[0].blocks));
  requests = $state.raw<readonly CacheRequest[]>([]);
  /** Events that have been recorded, and those that are shown. */
  length = $state(0);
  cursor = $state(0);
  /** What the form has: asked for by `begin`. */
  prompts = $state(SCENARIOS[0].prompts.join("\n"));
  forks = $state(SCENARIOS[0].forks);
  maxTokens = $state(SCENARIOS[0].maxTokens);
  blocks = $state(SCENARIOS[0].blocks);
  /** Whether a model with such a cache is on its way. */
  isLoading = $state(false);
  /** Whether the cursor goes on by itself, towards the end of a recording that may still grow; until it is moved by hand. */
  isPlaying = $state(false);
  error = $state.raw<unknown>(null);
  readonly moment = $derived.by(() => {
    void this.length;
    return this.recording.at(this.cursor);
  });
  #numBlocks = 0;
  #loading: Promise<LanguageModel> | null = null;
  #controller = new AbortController();

  constructor() {
    engine.onLeaving(() => {
      this.#controller.abort();
      this.#loading?.then(
        (lm) => lm.dispose(),
        () => undefined,
      );
      this.#loading = null;
      this.isLoading = false;
      this.#empty(0);
    });
  }

  /** An empty cache for a model that has come: of the first scenario's size, with its prompts in the form. */
  async begun(lm: LanguageModel): Promise<void> {
    const [first] = scenariosOf(lm);
    this.#fill(first);
    await this.reset(first.blocks, lm.info.kv.blockBytes);
  }

  /** An empty cache of so many blocks. */
  async reset(numBlocks: number, blockBytes: number): Promise<void> {
    this.#controller.abort();
    this.#controller = new AbortController();
    const { signal } = this.#controller;
    const old = this.#loading;
    this.#empty(numBlocks);
    const loading = engine.loadAgain({ kvMemory: numBlocks * blockBytes, threads: 1, signal });
    this.#loading = loading;
    this.isLoading = true;
    loading.catch(() => undefined);
    await old?.then(
      (lm) => lm.dispose(),
      () => undefined,
    );
    try {
      const lm = await loading;
      if (signal.aborted) return;
      this.lm = lm;
      void this.#record(lm, this.recording);
    } catch (error) {
      if (!signal.aborted) this.error = error;
    } finally {
      if (this.#loading === loading) this.isLoading = false;
    }
  }

  get numBlocks(): number {
    return this.#numBlocks;
  }

  /** A scenario, from an empty cache. */
  async play(scenario: Scenario, blockBytes: number): Promise<void> {
    this.#fill(scenario);
    await this.reset(scenario.blocks, blockBytes);
    await this.begin(blockBytes);
  }

  /** What the form has, in the cache as it is; in an empty one if its size has changed. */
  async begin(blockBytes: number): Promise<void> {
    if (this.#numBlocks !== this.blocks || this.lm === null) await this.reset(this.blocks, blockBytes);
    this.isPlaying = true;
    await this.run({ prompts: promptsOf(this.prompts), forks: this.forks, maxTokens: this.maxTokens });
  }

  /** Asks for the prompts, one after the other; the engine decides who runs when. */
  async run({ prompts, forks, maxTokens }: CacheBatch): Promise<void> {
    const { lm } = this;
    if (lm === null) return;
    const { signal } = this.#controller;
    this.error = null;
    const first = this.requests.length;
    try {
      const made = prompts.map((prompt) => promptTokens(lm, prompt));
      this.requests = [
        ...this.requests,
        ...made.map((prompt) => ({
          prompt,
          continuations: Array.from({ length: forks }, () => []),
        })),
      ];
      await generateBatch(
        lm,
        made,
        { forks, maxTokens, firstSeed: first + 1, signal },
        (i, index, tokens) => {
          if (!signal.aborted) this.#extend(first + i, index, tokens);
        },
      );
    } catch (error) {
      if (!signal.aborted) this.error = error;
    }
  }

  seek(cursor: number): void {
    this.cursor = Math.max(0, Math.min(cursor, this.length));
  }

  #fill({ prompts, forks, maxTokens, blocks }: Scenario): void {
    this.prompts = prompts.join("\n");
    this.forks = forks;
    this.maxTokens = maxTokens;
    this.blocks = blocks;
  }

  #empty(numBlocks: number): void {
    this.#numBlocks = numBlocks;
    this.recording = new CacheRecording(numBlocks);
    this.requests = [];
    this.length = 0;
    this.cursor = 0;
    this.error = null;
    this.lm = null;
  }

  #extend(number: number, index: number, tokens: readonly number[]): void {
    this.requests = this.requests.map((request, i) => {
      if (i !== number) return request;
      const continuations = request.continuations.map((known, j) =>
        j === index ? [...known, ...tokens] : known,
      );
      return { ...request, continuations };
    });
  }

  async #record(lm: LanguageModel, recording: CacheRecording): Promise<void> {
    let isDue = false;
    for await (const event of lm.events()) {
      // The recording is this engine's from its first event on, and a page's reader never falls 65,536 events behind.
      if (event.type === "dropped") throw new Error(`${event.count} events were lost`);
      recording.push(event);
      if (isDue) continue;
      isDue = true;
      requestAnimationFrame(() => {
        isDue = false;
        if (this.recording === recording) this.length = recording.events.length;
      });
    }
  }
}

/** One prompt a line. */
export function promptsOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

export const cacheRun = new CacheRun();
