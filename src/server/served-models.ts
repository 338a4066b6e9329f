/** The models of a server, each found by the name that clients call it. Owns them. */
import { quoteValue } from "../quote-value.js";
import { ApiError } from "./api-error.js";
import type { Exchange } from "./exchange.js";
import { type HeldSequence, sequenceNotFound } from "./held-sequences.js";
import type { Principal } from "./keys.js";
import type { ModelService } from "./model-service.js";

/** A sequence that a request is about, and the model that it lives in. */
export interface HeldInModel {
  readonly model: ModelService;
  readonly held: HeldSequence;
}

export class ServedModels {
  readonly #model: ModelService;

  constructor(model: ModelService) {
    this.#model = model;
  }

  /** All of them, in the order in which they were named. */
  get all(): readonly ModelService[] {
    return [this.#model];
  }

  /** Tokens of the longest context. */
  get contextLength(): number {
    return this.#model.served.info.config.contextLength;
  }

  /**
   * The one that a request names; without a name the only one.
   * @throws ApiError 404 for any other model than the served one
   */
  find(name: string | null | undefined): ModelService {
    const { id } = this.#model.served;
    if (name == null || name === id) return this.#model;
    throw new ApiError(
      404,
      "model_not_found",
      `There is no model ${quoteValue(name)} here; this server has ${id}.`,
      { param: "model" },
    );
  }

  /** As `HeldSequences.use`, whichever model the sequence lives in. */
  useHeld(exchange: Exchange, id: string): HeldInModel {
    const model = this.all.find(({ sequences }) => sequences.has(exchange.principal!, id));
    if (model === undefined) throw sequenceNotFound();
    return { model, held: model.sequences.use(exchange, id) };
  }

  /** The sequences of a principal, by model, and oldest first in each. */
  held(principal: Principal): HeldInModel[] {
    return this.all.flatMap((model) => model.sequences.list(principal).map((held) => ({ model, held })));
  }

  async dispose(): Promise<void> {
    const { sequences, engine, texts } = this.#model;
    await sequences.dispose();
    await Promise.all([engine.dispose(), texts?.dispose()]);
  }
}
