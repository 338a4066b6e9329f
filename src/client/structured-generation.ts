/** Starts generations that are held to a grammar: compiles it first, and tells the engine the vocabulary once. */

import { type GenerationSink, unstartedOutcome } from "../protocol/generation-outcome.js";
import type { GenerationRequest } from "../protocol/generation-request.js";
import type { ThoughtTokens } from "../sampling/after-thoughts.js";
import type { ConstraintSpec } from "./constraint-spec.js";
import { specKey } from "./constraint-spec.js";
import type { EngineClient, GenerationHandle } from "./engine-client.js";
import type { GrammarCompiler } from "./grammar-compiler.js";

/** What an answer is held to. */
export interface HeldAnswer {
  readonly spec: ConstraintSpec;
  /** It may think first; null: it does not. */
  readonly thoughts: ThoughtTokens | null;
}

export class StructuredGenerations {
  readonly #engine: EngineClient;
  readonly #fetchCompiler: () => Promise<GrammarCompiler>;
  readonly #eosTokenIds: readonly number[];
  #compiler: Promise<GrammarCompiler> | null = null;
  #hasVocabulary: Promise<void> | null = null;

  /**
   * @param fetchCompiler makes what compiles, for the first of them
   * @param eosTokenIds tokens that end a text of the model
   */
  constructor(
    engine: EngineClient,
    fetchCompiler: () => Promise<GrammarCompiler>,
    eosTokenIds: readonly number[],
  ) {
    this.#engine = engine;
    this.#fetchCompiler = fetchCompiler;
    this.#eosTokenIds = eosTokenIds;
  }

  /** As `EngineClient.generate`; what is wrong with the spec fails the generation before anything runs. */
  start({ spec, thoughts }: HeldAnswer, request: GenerationRequest, sink: GenerationSink): GenerationHandle {
    let handle: GenerationHandle | null = null;
    const cancelled = new AbortController();
    this.#constrained({ spec, thoughts }, request, cancelled.signal)
      .then(
        (constrained) => {
          if (!cancelled.signal.aborted) handle = this.#engine.generate(constrained, sink);
        },
        (error) => {
          if (!cancelled.signal.aborted) sink.fail(error);
        },
      )
      .catch((error) => sink.fail(error));
    return {
      cancel: () => {
        if (handle !== null) handle.cancel();
        else if (!cancelled.signal.aborted) {
          cancelled.abort();
          sink.end(unstartedOutcome(request.n));
        }
      },
      resume: (index, kept) => handle?.resume(index, kept),
    };
  }

  async dispose(): Promise<void> {
    // One that could not be fetched has nothing to end.
    const compiler = await this.#compiler?.catch(() => null);
    await compiler?.dispose();
  }

  #madeCompiler(): Promise<GrammarCompiler> {
    const compiler = this.#compiler ?? this.#fetchCompiler();
    this.#compiler = compiler;
    compiler.catch(() => {
      this.#compiler = null;
    });
    return compiler;
  }

  async #constrained(
    { spec, thoughts }: HeldAnswer,
    request: GenerationRequest,
    signal: AbortSignal,
  ): Promise<GenerationRequest> {
    const compiler = await this.#madeCompiler();
    signal.throwIfAborted();
    const grammar = await compiler.compile(spec, request.tenant, signal);
    this.#hasVocabulary ??= this.#tellVocabulary(compiler);
    await this.#hasVocabulary;
    const endTokenIds = [...new Set([...this.#eosTokenIds, ...request.eosTokenIds])];
    const key = JSON.stringify([request.tenant, request.salt, specKey(spec)]);
    return { ...request, constraint: { key, grammar, endTokenIds, thoughts } };
  }

  async #tellVocabulary(compiler: GrammarCompiler): Promise<void> {
    try {
      this.#engine.tellVocabulary(await compiler.vocabulary());
    } catch (error) {
      this.#hasVocabulary = null;
      throw error;
    }
  }
}
