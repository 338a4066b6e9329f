/**
 * What the client and the engine say to each other: plain data, which a structured clone takes from thread to thread.
 * Every message but the last one names a call by the client's number for it; what the engine says of a call that the
 * client has forgotten is left unread. What a step has to say comes as one list; the first list is empty, and says that the engine listens.
 */
import type { ReadProgress } from "../formats/load-progress.js";
import type { TokenVocabulary } from "../grammar/token-vocabulary.js";
import type { KernelUses } from "../kernels/kernels.js";
import type { RowRange } from "../kernels/kv-rows.js";
import type { ChosenToken } from "../sampling/continuation.js";
import type { EngineInfo, EngineSetup } from "./engine-setup.js";
import type { EngineEvent, EngineEventType, EngineStats } from "./engine-stats.js";
import type { GenerationOutcome } from "./generation-outcome.js";
import type { GenerationRequest } from "./generation-request.js";
import type { TierPolicy } from "./kv-tier.js";
import type { Connection, Port, ThreadPort } from "./port.js";
import type { ReadoutOutcome, ReadoutRequest } from "./readout-request.js";
import type { RemoteError } from "./remote-error.js";

export type ClientMessage =
  /** What is known of the model before it is loaded: what it is computed with is fetched meanwhile. Not answered. */
  | { readonly type: "expect"; readonly uses: Omit<KernelUses, "storedDtypes"> }
  /** The first one of a call. Answered by `read` and `progress`, then by `loaded` or `failed`. */
  | { readonly type: "load"; readonly id: number; readonly setup: EngineSetup }
  /** What a `read` asked for, in its own buffer; the answers come in the order of the questions. */
  | { readonly type: "bytes"; readonly buffer: ArrayBuffer }
  /** The file cannot be read, or it is no longer wanted. */
  | { readonly type: "readFailed" }
  /** The vocabulary, before the first generation that is held to a grammar. Not answered. */
  | { readonly type: "vocabulary"; readonly vocabulary: TokenVocabulary }
  /**
   * Answered by `tokens` and `finished`, then by `ended` or `failed`.
   * @property observed null; or every inference is shown by `step`, with the logits of so many
   */
  | {
      readonly type: "generate";
      readonly id: number;
      readonly request: GenerationRequest;
      readonly observed: number | null;
    }
  /** See `GenerationJob.resume`. */
  | { readonly type: "resume"; readonly id: number; readonly index: number; readonly kept: number | null }
  /** Answered by `readout`, or by `failed`; when it was cancelled by `ended`, without an outcome. */
  | { readonly type: "computeReadout"; readonly id: number; readonly request: ReadoutRequest }
  /** Of a generation, or of a readout. */
  | { readonly type: "cancel"; readonly id: number }
  /** Answered by `logits` until `isLast`, or by `failed`. */
  | {
      readonly type: "startSequence";
      readonly id: number;
      readonly tokens: readonly number[];
      readonly salt: string | null;
      readonly tenant: string;
      /** Position of the first row that becomes logits. */
      readonly logitsFrom: number;
      /** Rows that it will have in the end: it fails when they do not fit even alone. */
      readonly rowsNeeded: number;
      /** It ends with its last logits. */
      readonly once: boolean;
    }
  /** Cuts a sequence back to `keep` tokens and adds others; answered like `startSequence`, or by `refused`. */
  | {
      readonly type: "extendSequence";
      readonly id: number;
      readonly keep: number;
      readonly tokens: readonly number[];
      readonly logitsFrom: number;
    }
  /**
   * Takes the extension under way back, or one that has just ended: the sequence is cut back to `keep` tokens, and has `tokens`
   * behind them, as it had. Answered by `withdrawn`.
   */
  | {
      readonly type: "withdrawExtension";
      readonly id: number;
      readonly keep: number;
      readonly tokens: readonly number[];
    }
  /** Not answered. */
  | { readonly type: "forkSequence"; readonly id: number; readonly from: number }
  /** Answered by `rows`, in `memory` if it is large enough, or by `failed`. */
  | {
      readonly type: "readRows";
      readonly id: number;
      readonly range: RowRange;
      readonly memory: ArrayBuffer;
    }
  /** See `RowTransfer.begin`. Answered by `reserved`, or by `failed`. */
  | {
      readonly type: "restoreSequence";
      readonly id: number;
      readonly tokens: readonly number[];
      readonly salt: string | null;
      readonly knownSalt: string | null;
      readonly tenant: string;
    }
  /** See `RowTransfer.makeRoom`. Answered by `reserved`. */
  | { readonly type: "makeRoom"; readonly id: number; readonly rows: number }
  /**
   * Rows of some blocks of a sequence that is restored: those are taken that it has room for, and not already. Answered by
   * `placed`.
   * @property end there are rows of each tensor up to this position
   * @property givenEnd those before this one may be taken
   */
  | {
      readonly type: "placeRows";
      readonly id: number;
      readonly firstBlock: number;
      readonly end: number;
      readonly givenEnd: number;
      readonly tensors: RowRange["tensors"];
      readonly rows: Uint8Array<ArrayBuffer>;
    }
  /** The rows that were placed are all of these tokens. Answered by `reserved`. */
  | { readonly type: "commitRows"; readonly id: number; readonly tokens: readonly number[] }
  /** See `beginProbe`. Answered by `probed`, or by `failed`. */
  | { readonly type: "probe"; readonly id: number; readonly tokens: readonly number[] }
  /** The engine takes a port over that leads to a KV tier: see tier-messages.ts. Once. Not answered. */
  | { readonly type: "connectTier"; readonly port: ThreadPort; readonly policy: TierPolicy }
  /** Answered by `ended`, without an outcome. */
  | { readonly type: "endSequence"; readonly id: number }
  | { readonly type: "stats"; readonly id: number }
  /**
   * Answered by `events`, until `unlisten`; takes the place of an earlier one.
   * @property types requested event types; null: all
   */
  | { readonly type: "listen"; readonly id: number; readonly types: readonly EngineEventType[] | null }
  | { readonly type: "unlisten" };

/** Those of some types. */
export type ClientMessageOf<Type extends ClientMessage["type"]> = Extract<ClientMessage, { type: Type }>;

export type HostMessage =
  /** Asks for `length` bytes of a file, into a buffer of at least that size. */
  | {
      readonly type: "read";
      readonly id: number;
      readonly file: number;
      readonly offset: number;
      readonly length: number;
      readonly buffer: ArrayBuffer;
    }
  | { readonly type: "progress"; readonly id: number; readonly progress: ReadProgress }
  | { readonly type: "loaded"; readonly id: number; readonly info: EngineInfo }
  | {
      readonly type: "tokens";
      readonly id: number;
      readonly index: number;
      readonly chosen: readonly ChosenToken[];
    }
  | { readonly type: "finished"; readonly id: number; readonly index: number }
  | { readonly type: "readout"; readonly id: number; readonly outcome: ReadoutOutcome }
  | { readonly type: "ended"; readonly id: number; readonly outcome: GenerationOutcome | null }
  /** The call has ended, and with it the generation or the sequence. */
  | { readonly type: "failed"; readonly id: number; readonly error: RemoteError }
  /** The call has ended; the sequence is as it was. */
  | { readonly type: "refused"; readonly id: number; readonly error: RemoteError }
  /** No answer to the extension comes any more; the sequence is as it was before it. */
  | { readonly type: "withdrawn"; readonly id: number }
  | {
      readonly type: "step";
      readonly id: number;
      /** (V); null after as many as were asked for. */
      readonly logits: Float32Array<ArrayBuffer> | null;
      /** Rows that went through the model. */
      readonly rows: number;
      /** Milliseconds in the model. */
      readonly ms: number;
    }
  | {
      readonly type: "logits";
      readonly id: number;
      /** Position of the token that the first row follows. */
      readonly firstPosition: number;
      readonly count: number;
      /** (count, V) */
      readonly logits: Float32Array<ArrayBuffer>;
      /** These are the last rows that were asked for. */
      readonly isLast: boolean;
      /** Of the sequence, from its start. */
      readonly numCachedTokens: number;
      readonly rowsComputed: number;
      readonly computeMs: number;
    }
  | { readonly type: "probed"; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: "rows"; readonly id: number; readonly rows: Uint8Array<ArrayBuffer> }
  /** @property capacity rows that it has or has room for; rows that were given to it count once they are committed */
  | { readonly type: "reserved"; readonly id: number; readonly length: number; readonly capacity: number }
  /** Rows have been placed, and their memory comes back. */
  | { readonly type: "placed"; readonly id: number; readonly rows: Uint8Array<ArrayBuffer> }
  | { readonly type: "stats"; readonly id: number; readonly stats: EngineStats }
  | { readonly type: "events"; readonly id: number; readonly events: readonly EngineEvent[] }
  /** The last one: no call can be served any more. */
  | { readonly type: "broken"; readonly error: RemoteError };

/** The engine asks for bytes of a file. */
export type ReadQuestion = Extract<HostMessage, { type: "read" }>;

/** The client's way to an engine. */
export type EngineConnection = Connection<ClientMessage, readonly HostMessage[]>;
/** The engine's way to its client. */
export type EnginePort = Port<readonly HostMessage[], ClientMessage>;
