/**
 * The models of a server, each found by the name that clients call it, and loaded when it is asked for. What is told of
 * them is the same whether they are loaded or not.
 */
import type { TemplateAbilities } from "../chat/template-abilities.js";
import type { ModelInfo } from "../library/model-info.js";
import { quoteValue } from "../quote-value.js";
import { ApiError } from "./api-error.js";
import type { Exchange } from "./exchange.js";
import { type HeldSequence, sequenceNotFound } from "./held-sequences.js";
import type { Principal } from "./keys.js";
import type { LoadedModels } from "./loaded-models.js";
import type { ModelService } from "./model-service.js";

/** What a model is, known from its files. */
export interface AboutModel
  extends Pick<ModelInfo, "config" | "parameters" | "files" | "dtype" | "embedding"> {
  /** What its chat template lets it do; null without one. */
  readonly abilities: TemplateAbilities | null;
  /** Whether it can be asked for the middle of a text. */
  readonly infills: boolean;
}

/** A model as it is listed. */
export interface ListedModel {
  /** What clients call it. */
  readonly id: string;
  /** Unix seconds of when the server had it first. */
  readonly created: number;
  /** Most positions of a sequence. */
  readonly contextLength: number;
  /** Bytes that it takes while it is loaded. */
  readonly memoryBytes: number;
  readonly about: AboutModel;
}

/** A sequence that a request is about, and the model that it lives in. */
export interface HeldInModel {
  readonly model: ModelService;
  readonly held: HeldSequence;
}

export class ServedModels {
  /** All of them, in the order in which they were named. */
  readonly listed: readonly ListedModel[];
  /** Bytes that all loaded ones may take; null for a single model, which is always loaded. */
  readonly budgetBytes: number | null;
  readonly #loaded: LoadedModels<ModelService>;

  constructor(
    listed: readonly ListedModel[],
    loaded: LoadedModels<ModelService>,
    budgetBytes: number | null,
  ) {
    this.listed = listed;
    this.budgetBytes = budgetBytes;
    this.#loaded = loaded;
  }

  /** Those that are loaded just now. */
  get loaded(): readonly ModelService[] {
    return this.#loaded.loaded;
  }

  /** Whether any can answer: one that is not loaded can be. */
  get canAnswer(): boolean {
    const { loaded } = this;
    return loaded.length < this.listed.length || loaded.some(({ engine }) => engine.state === "ready");
  }

  /** Tokens of the longest context. */
  get contextLength(): number {
    return Math.max(...this.listed.map(({ contextLength }) => contextLength));
  }

  /**
   * The one that a request names; without a name the only one.
   * @throws ApiError 404 for one that is not served, 400 where a name is missing
   */
  find(name: string | null | undefined): ListedModel {
    const found =
      name == null && this.listed.length === 1 ? this.listed[0] : this.listed.find(({ id }) => id === name);
    if (found !== undefined) return found;
    const ids = this.listed.map(({ id }) => id).join(", ");
    if (name == null) {
      throw new ApiError(400, "model_required", `Say which model is meant; this server has ${ids}.`, {
        param: "model",
      });
    }
    throw new ApiError(
      404,
      "model_not_found",
      `There is no model ${quoteValue(name)} here; this server has ${ids}.`,
      { param: "model" },
    );
  }

  /** The one of that name if it is loaded just now. */
  peek(id: string): ModelService | null {
    return this.#loaded.peek(id);
  }

  /** When the one of that name will be unloaded, in milliseconds of Unix time; null: it is used, or stays. */
  unloadsAt(id: string): number | null {
    return this.#loaded.unloadsAt(id);
  }

  /** Requests that wait for the one of that name. */
  waitingFor(id: string): number {
    return this.#loaded.waitingFor(id);
  }

  /**
   * The one that a request names, loaded; it stays until the exchange ends.
   * @throws ApiError as `find`; 503 when it cannot be loaded, or not in time; why the exchange was ended
   */
  async use(name: string | null | undefined, exchange: Exchange): Promise<ModelService> {
    const { id } = this.find(name);
    exchange.record.model = id;
    const lease = await this.#loaded.use(id, exchange.signal);
    exchange.onEnd(lease.release);
    return lease.loaded;
  }

  /** As `HeldSequences.use`, whichever model the sequence lives in; that stays until the exchange ends, too. */
  useHeld(exchange: Exchange, id: string): HeldInModel {
    const model = this.loaded.find(({ sequences }) => sequences.has(exchange.principal!, id));
    const lease = model && this.#loaded.useLoaded(model.served.id);
    if (model === undefined || lease == null) throw sequenceNotFound();
    exchange.onEnd(lease.release);
    exchange.record.model = model.served.id;
    return { model, held: model.sequences.use(exchange, id) };
  }

  /** The sequences of a principal, by model, and oldest first in each. */
  held(principal: Principal): HeldInModel[] {
    return this.loaded.flatMap((model) => model.sequences.list(principal).map((held) => ({ model, held })));
  }

  dispose(): Promise<void> {
    return this.#loaded.dispose();
  }
}
