/**
 * A text and its branches: each a sequence of the engine, forked from the one before it, so that the two share the K and V
 * that they have in common. Owns the sequences until the tree starts over.
 */
import type { LanguageModel, Sequence } from "lastrow";
import { resolveSampling, Sampler, SamplingScratch } from "lastrow/sampling";
import { engine } from "../model/engine.svelte.ts";
import { promptTokens } from "../model/prompt.ts";
import type { SamplingChoice } from "./distribution.ts";

export interface Branch {
  readonly id: number;
  readonly parent: number | null;
  /** Tokens that it adds to its parent's; the root's are the prompt's. */
  readonly added: readonly number[];
  /** All of them. */
  readonly tokens: readonly number[];
  /** (vocabulary) After the last one. */
  readonly logits: Float32Array;
  /** Rows that went through the model for it; the others it shares with its parent. */
  readonly rowsComputed: number;
}

class Branches {
  all = $state.raw<readonly Branch[]>([]);
  selected = $state(0);
  isBusy = $state(false);
  error = $state.raw<unknown>(null);
  readonly current = $derived(this.all.find(({ id }) => id === this.selected) ?? null);
  #sequences = new Map<number, Sequence>();
  #lastId = -1;
  #seed = 0;
  /** What goes on: of a model that has left, it says nothing any more. */
  #current = {};

  constructor() {
    // The sequences end with the model.
    engine.onLeaving(() => {
      this.#current = {};
      this.#sequences = new Map();
      this.#lastId = -1;
      this.all = [];
      this.selected = 0;
      this.isBusy = false;
      this.error = null;
    });
  }

  /** A new tree, of one branch: the prompt. */
  start(lm: LanguageModel, prompt: string): Promise<void> {
    return this.#work(async () => {
      const tokens = promptTokens(lm, prompt);
      for (const sequence of this.#sequences.values()) await sequence.dispose();
      this.#sequences = new Map();
      const before = (await lm.stats()).rows;
      const sequence = await lm.sequence(tokens, { salt: "next token" });
      const rowsComputed = (await lm.stats()).rows - before;
      this.all = [];
      this.#add(sequence, { parent: null, added: tokens, rowsComputed });
    });
  }

  /** Forks the selected branch and goes on with a token; one that was taken there before is selected again. */
  take(lm: LanguageModel, token: number): Promise<void> {
    const known = this.all.find(
      ({ parent, added }) => parent === this.selected && added[0] === token && added.length === 1,
    );
    if (known !== undefined) {
      this.selected = known.id;
      return Promise.resolve();
    }
    return this.#work(() => this.#grow(lm, async (sequence) => sequence.append([token])));
  }

  /** Forks the selected branch and goes on with so many tokens that the sampler chooses. */
  sample(lm: LanguageModel, count: number, choice: SamplingChoice): Promise<void> {
    this.#seed += 1;
    const { vocabSize } = lm.info.config;
    const sampler = new Sampler(
      resolveSampling({ ...choice, seed: this.#seed }, {}, vocabSize),
      new SamplingScratch(vocabSize),
    );
    return this.#work(() =>
      this.#grow(lm, async (sequence) => {
        for (let i = 0; i < count && sequence.length < lm.info.config.contextLength; i++) {
          const { token } = sampler.sample(sequence.logits, { prompt: [], generated: [] }, sequence.length);
          await sequence.append([token]);
          if (lm.info.config.eosTokenIds.includes(token)) return;
        }
      }),
    );
  }

  async #grow(lm: LanguageModel, extend: (sequence: Sequence) => Promise<void>): Promise<void> {
    const parent = this.selected;
    const source = this.#sequences.get(parent);
    if (source === undefined) return;
    const fork = await source.fork();
    const before = (await lm.stats()).rows;
    try {
      await extend(fork);
    } catch (error) {
      await fork.dispose();
      throw error;
    }
    const rowsComputed = (await lm.stats()).rows - before;
    this.#add(fork, { parent, added: fork.tokens.slice(source.length), rowsComputed });
  }

  #add(sequence: Sequence, branch: Pick<Branch, "parent" | "added" | "rowsComputed">): void {
    this.#lastId += 1;
    const id = this.#lastId;
    this.#sequences.set(id, sequence);
    this.all = [...this.all, { id, ...branch, tokens: sequence.tokens, logits: sequence.logits }];
    this.selected = id;
  }

  async #work(work: () => Promise<void>): Promise<void> {
    if (this.isBusy) return;
    const current = {};
    this.#current = current;
    this.isBusy = true;
    this.error = null;
    try {
      await work();
    } catch (error) {
      if (this.#current === current) this.error = error;
    } finally {
      if (this.#current === current) this.isBusy = false;
    }
  }
}

export const branches = new Branches();
