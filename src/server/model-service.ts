/** Everything that belongs to one served model. Each part is the one owner of its state. */
import type { ModelInfo } from "../library/model-info.js";
import type { EngineSupervisor } from "./engine-supervisor.js";
import type { HeldSequences } from "./held-sequences.js";
import type { ServerLimits } from "./limits.js";
import type { ModelMetrics } from "./metrics.js";
import type { TextThread } from "./text-thread.js";

/** A model, as clients see it. */
export interface ServedModel {
  /** What clients call it. */
  readonly id: string;
  readonly info: ModelInfo;
  /** Bytes of the longest token; 0 without a tokenizer. */
  readonly longestToken: number;
  /** Unix seconds of when the server had it first: the same whether it is loaded or not. */
  readonly created: number;
}

/** A model that is loaded, and what answers for it. A request has it for as long as its exchange lasts. */
export interface ModelService {
  readonly served: ServedModel;
  /** The server's, where its context sets no narrower ones. */
  readonly limits: ServerLimits;
  readonly engine: EngineSupervisor;
  /** Null for a model without a tokenizer. */
  readonly texts: TextThread | null;
  readonly sequences: HeldSequences;
  readonly metrics: ModelMetrics;
  /** Ends all of it. */
  dispose(): Promise<void>;
}
